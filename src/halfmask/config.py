"""Settings: keywords of a constructor are its settings; their types, bounds and defaults live only there."""

from __future__ import annotations

import difflib
import inspect
import re
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

Weight = Annotated[float, Field(ge=0)]
"""A number from 0 up: the weight of a loss, a standard deviation."""
Positive = Annotated[float, Field(gt=0)]
"""A number above 0."""
Share = Annotated[float, Field(ge=0, le=1)]
"""A number from 0 to 1: a share, a probability, the decay of an average."""
Count = Annotated[int, Field(ge=1)]
"""A whole number from 1 up."""


@dataclass(frozen=True)
class Setting:
    """One setting: its name, its type and its default."""

    name: str
    type: Any
    default: Any


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown name: ``did you mean 'x'?``, or all that are known."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known) or 'none'}"


def settings_of(made: Callable[..., Any]) -> dict[str, Setting]:
    """The keyword-only parameters of a constructor or function, by name, in their order."""
    hints = typing.get_type_hints(made.__init__ if inspect.isclass(made) else made, include_extras=True)
    return {
        name: Setting(name, hints.get(name, Any), p.default)
        for name, p in inspect.signature(made).parameters.items()
        if p.kind is p.KEYWORD_ONLY
    }


def read_settings(made: Callable[..., Any], given: Mapping[str, Any], *, of: str) -> dict[str, Any]:
    """Check ``given`` against the settings of ``made`` and convert text to the setting's type.

    ``"0.5"`` is a number, ``"2,2"`` a tuple, ``"width=8,blocks=1,2"`` a dict of text, ``"None"`` is None where the
    setting may be that.

    Args:
        of: what the settings belong to, for the error: ``method 'fixmatch'``.

    Raises:
        ValueError: naming every unknown key with the nearest known, and every value of a wrong type or out of bounds.
    """
    known, faults, result = settings_of(made), [], {}
    for name, value in given.items():
        if name not in known:
            faults.append(f"{of} has no setting {name!r}; {nearest(name, known)}")
            continue
        kind = known[name].type
        parts = _parted(value, kind) if isinstance(value, str) else value
        try:
            result[name] = TypeAdapter(kind, config=_STRICT).validate_python(parts)
        except ValidationError as e:
            faults.append(f"{of}: {name} = {value!r} {_reason(e)}")
    if faults:
        raise ValueError("\n".join(faults))
    return result


_STRICT = ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=False)


def _is(container: type, kind: Any) -> bool:
    return typing.get_origin(kind) is container or any(_is(container, part) for part in typing.get_args(kind))


def _parted(text: str, kind: Any) -> Any:
    """Text as the parts that such a setting is made of; what does not look like it stays as it is, to be refused."""
    if text == "None" and type(None) in typing.get_args(kind):
        return None
    if _is(dict, kind) and re.match(r"\s*\w+\s*=|\s*$", text):
        pairs = (part.partition("=") for part in re.split(r",(?=\s*\w+\s*=)", text) if part.strip())
        return {name.strip(): value.strip() for name, _, value in pairs}
    return text.split(",") if _is(tuple, kind) else text


def _reason(error: ValidationError) -> str:
    """What follows "weight = '-1'": "should be greater than or equal to 0"."""
    told = error.errors()[0]
    return "has too few values" if told["type"] == "missing" else str(told["msg"]).removeprefix("Input ")
