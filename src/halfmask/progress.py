"""Progress of long work: a bar on a terminal, plain lines with timestamps elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


def say(text: str) -> None:
    """One line to standard error, with the time where it is no terminal."""
    stamp = "" if sys.stderr.isatty() else time.strftime("%H:%M:%S ")
    print(stamp + text, file=sys.stderr, flush=True)


class Progress:
    """Counts ``total`` pieces of work; use as a context manager and call `advance` for each."""

    def __init__(self, what: str, total: int, *, done: int = 0, every: float = 30.0):
        self.what, self.total, self.done, self.every = what, total, done, every
        self.started = self.said = time.monotonic()
        self.first = done
        self.bar: Any = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self.bar = Bar(
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                TextColumn("{task.fields[figures]}"), console=Console(stderr=True),
            )  # fmt: skip
            self.task = self.bar.add_task(self.what, total=self.total, completed=self.done, figures="")
            self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.stop()
        elif error[0] is None and self.done > self.first:
            say(f"{self.what}: {self.done}/{self.total} in {time.monotonic() - self.started:.0f} s")

    def advance(self, figures: str = "", *, now: bool = False) -> None:
        """One more is done; ``figures`` are the numbers that matter, e.g. losses; ``now`` says them at once."""
        self.done += 1
        if self.bar is not None:
            self.bar.update(self.task, advance=1, **({"figures": figures} if figures else {}))
        elif now or time.monotonic() - self.said > self.every:
            self.said = time.monotonic()
            rate = (self.done - self.first) / (self.said - self.started + 1e-9)
            left = (self.total - self.done) / max(rate, 1e-9)
            say(f"{self.what}: {self.done}/{self.total}, {rate:.2f} a second, {left:.0f} s left {figures}")


def track(items: Iterable[T], what: str, total: int) -> Iterator[T]:
    """Pass ``items`` on and show how far they are."""
    with Progress(what, total) as progress:
        for item in items:
            yield item
            progress.advance()
