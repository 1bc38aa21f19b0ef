"""The command line: parses, calls the verb, and tells errors in one line."""

from __future__ import annotations

import functools
import inspect
import os
import signal
import sys
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any

import typer

from halfmask import __version__, verbs
from halfmask.parent import end_with_parent
from halfmask.training.interrupt import LAUNCHER, Stopped
from halfmask.training.launch import SeveralProcesses, launch

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Train medical image segmentation models from few labels, and say honestly what that gained.",
)  # fmt: skip
_debug = False


def main() -> None:
    """Run the command line; a user's mistake ends it with exit code 1 and no traceback."""
    # Threads that spin long for each other can stall where cores are shared (docs/results.md, "Waiting threads").
    # PyTorch's OpenMP reads this as it loads, which is later.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    if LAUNCHER in os.environ:  # as early as can be: the imports of a training take seconds
        end_with_parent(int(os.environ[LAUNCHER]))
    try:
        app()
    except (ValueError, OSError) as e:  # what the user gave; anything else is our fault and shows where
        if _debug:
            raise
        sys.exit(f"error: {e}")


_AGAIN = {
    verbs.brain: "to go on: what is done is kept",
    verbs.prepare: "to go on: what is stored is kept",
    verbs.demo: "to go on: what is trained is kept",
    verbs.get_data: "to go on: what has come is kept",
    verbs.study: "to go on: what is done is kept",
    verbs.pretrain: "with --resume to go on from the last checkpoint",
    verbs.train: "with --resume to go on from the last checkpoint",
}
"""What a verb that was stopped does when it is called again."""


def _command(verb: Callable[..., Any]) -> Callable[..., Any]:
    """The verb with its `Doc` notes as typer's: arguments before "/", options after "*"."""
    hints, parameters = _hints(verb), []
    declared = list(inspect.signature(verb).parameters.values())
    positional = [p for p in declared if p.kind is p.POSITIONAL_ONLY]
    for p in declared:
        kind, doc = typing.get_args(hints[p.name])
        note = typer.Argument(help=doc.text) if p in positional else typer.Option(help=doc.text)
        parameters.append(p.replace(annotation=Annotated[kind, note], kind=p.KEYWORD_ONLY))

    @functools.wraps(verb)
    def command(**options: Any) -> None:
        bound = [options.pop(p.name) for p in positional]
        try:
            result = _call(verb, bound, options)
        except KeyboardInterrupt as e:  # here, as typer would end any with 130 and without a word
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # all that is left is to say so
            # what stops within the demo or a study at once would name --resume
            said = (
                str(e)
                if verb in (verbs.train, verbs.pretrain) or (verb is verbs.study and isinstance(e, Stopped))
                else ""
            )
            print(said or f"stopped; give the same command {_AGAIN.get(verb, 'to begin anew')}", file=sys.stderr)
            raise typer.Exit(128 + getattr(e, "signal", signal.SIGINT)) from None
        if verb is verbs.check and any(fault.severity == "error" for fault in result):
            raise typer.Exit(1)

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


def _call(verb: Callable[..., Any], arguments: list[Any], options: dict[str, Any]) -> Any:
    """What the verb returns; a training that needs several processes ends with theirs."""
    try:
        return verb(*arguments, **options)
    except SeveralProcesses as e:
        raise typer.Exit(launch(sys.argv[1:], e.count)) from None


def _hints(verb: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of the arguments; a verb's return type may name packages that are not imported."""
    given = types.SimpleNamespace(__annotations__={k: v for k, v in verb.__annotations__.items() if k != "return"})
    return typing.get_type_hints(given, vars(sys.modules[verb.__module__]), include_extras=True)


for _verb in (
    verbs.demo, verbs.check, verbs.brain, verbs.prepare, verbs.pretrain, verbs.train, verbs.predict, verbs.evaluate,
    verbs.study, verbs.report, verbs.methods,
):  # fmt: skip
    app.command(_verb.__name__)(_command(_verb))

_data = typer.Typer(no_args_is_help=True, help="List public data sets, and get one.")
_data.command("list")(_command(verbs.list_data))
_data.command("get")(_command(verbs.get_data))
app.add_typer(_data, name="data")


@app.callback(invoke_without_command=True)
def _root(
    debug: Annotated[bool, typer.Option(help="Show the traceback of errors.")] = False,
    version: Annotated[bool, typer.Option(help="Show the version.")] = False,
) -> None:
    global _debug
    _debug = debug
    if version:
        print(__version__)
        raise typer.Exit
