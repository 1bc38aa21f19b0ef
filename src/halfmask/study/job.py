"""A job: commands that belong together, done one after another in a process of their own.

Its folder says all of it: ``job.json`` what is to be done, ``log.txt`` what was said, ``done.json`` that it is done.
So whoever comes later, after a crash or on another computer, knows what is left without asking anyone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from halfmask.data.atomic import write_text

JOB, DONE, LOG, LOCK = "job.json", "done.json", "log.txt", ".lock"
SUPERVISOR = "HALFMASK_SUPERVISOR"
"""The environment variable with the id of the process that watches over a job's."""
USER = 2
"""Exit code for what the user has to mend, which would fail again."""

Words = Sequence[str]


@dataclass(frozen=True)
class Need:
    """What a job takes while it runs: CPU threads, GiB of memory and of a GPU's memory."""

    threads: int = 1
    memory: float = 0.0
    gpu: float = 0.0


@dataclass(frozen=True)
class Job:
    """Commands to be given in the folder ``home``, whose files they name relative to it.

    Attributes:
        name: of the job, unique in a study.
        folder: its own.
        commands: the words of each after ``halfmask``.
        needs: names of the jobs that have to be done before.
        given: a digest of what the commands read that they do not tell, the prepared data; empty if there is none.
    """

    name: str
    home: Path
    folder: Path
    commands: tuple[tuple[str, ...], ...]
    needs: tuple[str, ...] = ()
    need: Need = field(default_factory=Need)
    given: str = ""

    def write(self) -> None:
        """Write job.json."""
        told = {"home": os.path.relpath(self.home, self.folder), "commands": self.commands, "given": self.given}
        write_text(self.folder / JOB, json.dumps(told, indent=1))

    def is_done(self) -> bool:
        """Whether these very commands were carried out."""
        done = noted(self.folder / DONE)
        return _same(done.get("commands"), self.commands) and (done.get("given") or self.given) == self.given

    def seconds(self) -> float:
        """What it took, once it is done."""
        seconds = noted(self.folder / DONE).get("seconds")
        return float(seconds) if isinstance(seconds, int | float) else 0.0

    def mark_done(self, seconds: float) -> None:
        """Write done.json, last of all."""
        told = {"commands": self.commands, "given": self.given, "seconds": round(seconds, 1)}
        write_text(self.folder / DONE, json.dumps(told, indent=1))

    def differs(self) -> str:
        """How this job differs from the one that the folder holds already, in words; empty if it does not."""
        told = noted(self.folder / JOB)
        before = told.get("commands")
        if _same(before, self.commands):
            other = (told.get("given") or self.given) != self.given
            return "it was made from a store with another plan, other splits or other cases" if other else ""
        if not isinstance(before, list) or not all(isinstance(words, list) for words in before):
            return ""
        then, now = ({w for c in commands for w in _options(c)} for commands in (before, self.commands))
        return f"{', '.join(sorted(then - now)) or 'less'} then, {', '.join(sorted(now - then)) or 'less'} now"


def read_job(folder: Path) -> Job:
    """The job that `Job.write` noted in a folder."""
    folder = folder.resolve()
    told = json.loads((folder / JOB).read_text(encoding="utf-8"))
    commands = tuple(tuple(words) for words in told["commands"])
    return Job(folder.name, (folder / told["home"]).resolve(), folder, commands, given=told.get("given", ""))


def _options(words: Words) -> list[str]:
    """Options with their values, and other words."""
    found: list[str] = []
    for word in words:
        if found and found[-1].startswith("--") and " " not in found[-1] and not word.startswith("--"):
            found[-1] += f" {word}"
        else:
            found.append(word)
    return found


def _same(before: Any, commands: Sequence[Words]) -> bool:
    return bool(before == [list(words) for words in commands])


def noted(file: Path) -> dict[str, Any]:
    """The content of a JSON file; empty if there is none, or none that can be read."""
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}
