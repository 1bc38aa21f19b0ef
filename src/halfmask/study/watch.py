"""Shows how far a study is: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halfmask.progress import say
from halfmask.report.settings import duration
from halfmask.study.supervise import Outcome

EVERY = 60.0
"""Seconds between two plain lines, if nothing ends meanwhile."""
SURE = 0.02
"""Of the work must be done before its speed corrects what was expected of the rest."""


@dataclass(frozen=True)
class Expected:
    """What is expected of a run: its folder, its steps, and seconds of which training takes a share."""

    folder: Path
    steps: int
    seconds: float
    training: float

    def share(self) -> float:
        """How much of it is done, from what its folder tells."""
        if (self.folder / "result.json").is_file():
            return self.training
        return self.training * min(1.0, (_last_step(self.folder / "journal.jsonl") + 1) / self.steps)


class Watch:
    """Called again and again with what has come of a study's jobs; use as a context manager."""

    def __init__(self, expected: Mapping[str, Expected], together: int):
        self.expected, self.together = expected, together
        self.started = self.said = time.monotonic()
        self.known: set[str] | None = None
        self.before = 0.0
        self.live: Any = None

    def __enter__(self) -> Watch:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self.live = Live(console=Console(stderr=True), refresh_per_second=2, transient=True)
            self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.live is not None:
            self.live.stop()

    def __call__(self, outcomes: Mapping[str, Outcome], running: Sequence[str]) -> None:
        if self.known is None:
            self.known = set(outcomes)
            self.before = self._work(outcomes, {})
        for name in [name for name in outcomes if name not in self.known]:
            self.known.add(name)
            self._tell(name, outcomes[name])
        if self.live is None and (not running or time.monotonic() - self.said < EVERY):
            return
        shares = {name: self.expected[name].share() for name in running if name in self.expected}
        summary = self._summary(outcomes, shares, running)
        if self.live is not None:
            self.live.update(self._table(shares, running, outcomes, summary))
        else:
            self.said = time.monotonic()
            say(f"{summary}: " + ", ".join(f"{name} {100 * shares.get(name, 0):.0f} %" for name in running))

    def _tell(self, name: str, outcome: Outcome) -> None:
        """One line on a job that has ended; on a terminal above the table."""
        line = f"{name}: {outcome.state} after {duration(outcome.seconds)}"
        line += f": {outcome.error.splitlines()[0]}" if outcome.error else ""
        if self.live is not None:
            self.live.console.print(line, markup=False, highlight=False)
        else:
            say(line)

    def _work(self, outcomes: Mapping[str, Outcome], shares: Mapping[str, float]) -> float:
        """Seconds of work that are done, by what was expected of it."""
        done = sum(self.expected[name].seconds for name in outcomes if name in self.expected)
        return done + sum(self.expected[name].seconds * share for name, share in shares.items())

    def _left(self, outcomes: Mapping[str, Outcome], shares: Mapping[str, float]) -> float:
        """Seconds until all is done, by what was expected, corrected by how it went so far."""
        total, done = sum(e.seconds for e in self.expected.values()), self._work(outcomes, shares)
        here = done - self.before
        pace = 1 / self.together
        if here > SURE * total:
            pace = (time.monotonic() - self.started) / here
        return (total - done) * pace

    def _summary(self, outcomes: Mapping[str, Outcome], shares: Mapping[str, float], running: Sequence[str]) -> str:
        ended = [outcome.state for name, outcome in outcomes.items() if name in self.expected]
        failed = f", {ended.count('failed')} failed" if "failed" in ended else ""
        left = f", about {duration(self._left(outcomes, shares))} left" if running and self.expected else ""
        return f"{ended.count('done')} of {len(self.expected)} runs done{failed}, {len(running)} running{left}"

    def _table(
        self, shares: Mapping[str, float], running: Sequence[str], outcomes: Mapping[str, Outcome], summary: str
    ) -> Any:
        from rich import box
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        table = Table(box=box.SIMPLE_HEAD, title=summary, title_justify="left")
        for column in ("run", "", "done"):
            table.add_column(column)
        for name in running:
            share = shares.get(name, 0.0)
            table.add_row(name, ProgressBar(total=1.0, completed=share, width=30), f"{100 * share:.0f} %")
        for name in [name for name, outcome in outcomes.items() if outcome.state == "failed"]:
            table.add_row(name, "[red]failed[/red]", "")
        return table


def _last_step(journal: Path) -> int:
    """The last step that a journal tells of, from 0; −1 if it tells of none."""
    try:
        with open(journal, "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
            lines = file.read().splitlines()
    except OSError:
        return -1
    for line in reversed(lines):
        try:
            return int(json.loads(line)["step"])
        except (ValueError, KeyError, TypeError):  # half a line
            continue
    return -1
