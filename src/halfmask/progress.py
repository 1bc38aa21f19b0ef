"""Progress of long work: a bar on a terminal, plain lines with timestamps elsewhere."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any

_mute = False


@contextlib.contextmanager
def muted(mute: bool = True) -> Iterator[None]:
    """Within, this process neither says anything nor shows progress: of several that do the same, one speaks."""
    global _mute
    before, _mute = _mute, mute
    try:
        yield
    finally:
        _mute = before


def say(text: str) -> None:
    """One line to standard error, with the time where it is no terminal."""
    if _mute:
        return
    stamp = "" if sys.stderr.isatty() else time.strftime("%H:%M:%S ")
    print(stamp + text, file=sys.stderr, flush=True)


class Progress:
    """Counts ``total`` pieces of work; use as a context manager and call `advance` for each."""

    def __init__(self, what: str, total: int, *, done: int = 0, every: float = 30.0):
        self.what, self.total, self.done, self.every = what, total, done, every
        self.started = self.said = time.monotonic()
        self.first = done
        self.figures = ""
        self.bar: Any = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty() and not _mute:
            from rich import progress as rich
            from rich.console import Console

            columns = [
                rich.TextColumn("{task.description}"),
                rich.BarColumn(bar_width=24),
                rich.MofNCompleteColumn(),
                rich.TextColumn("{task.fields[rate]}"),
                rich.TimeRemainingColumn(),
                rich.TextColumn("{task.fields[figures]}"),
            ]
            self.bar = rich.Progress(*columns, console=Console(stderr=True))
            self.task = self.bar.add_task(self.what, total=self.total, completed=self.done, rate="", figures="")
            self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.stop()
        elif error[0] is None and self.done > self.first:
            say(f"{self.what}: {self.done}/{self.total} in {time.monotonic() - self.started:.0f} s")

    def advance(self, figures: str = "") -> None:
        """One more is done; ``figures`` are the latest numbers that matter, e.g. losses."""
        self.done += 1
        self.figures = figures or self.figures
        now = time.monotonic()
        rate = (self.done - self.first) / (now - self.started + 1e-9)
        if self.bar is not None:
            self.bar.update(self.task, advance=1, rate=f"{rate:.2f}/s", figures=self.figures)
        elif now - self.said > self.every:
            self.said = now
            left = (self.total - self.done) / rate
            say(f"{self.what}: {self.done}/{self.total}, {rate:.2f}/s, {left:.0f} s left {self.figures}")
