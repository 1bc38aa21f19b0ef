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
    """

    name: str
    home: Path
    folder: Path
    commands: tuple[tuple[str, ...], ...]
    needs: tuple[str, ...] = ()
    need: Need = field(default_factory=Need)

    def write(self) -> None:
        """Write job.json."""
        told = {"home": os.path.relpath(self.home, self.folder), "commands": self.commands}
        write_text(self.folder / JOB, json.dumps(told, indent=1))

    def is_done(self) -> bool:
        """Whether these very commands were carried out."""
        return _same(_read(self.folder / DONE).get("commands"), self.commands)

    def mark_done(self, seconds: float) -> None:
        """Write done.json, last of all."""
        told = {"commands": self.commands, "seconds": round(seconds, 1)}
        write_text(self.folder / DONE, json.dumps(told, indent=1))

    def differs(self) -> str:
        """How the commands differ from those that the folder holds already, in words; empty if they do not."""
        before = _read(self.folder / JOB).get("commands")
        if before is None or _same(before, self.commands):
            return ""
        then, now = ({w for c in commands for w in _options(c)} for commands in (before, self.commands))
        return f"{', '.join(sorted(then - now)) or 'less'} then, {', '.join(sorted(now - then)) or 'less'} now"


def read_job(folder: Path) -> Job:
    """The job that `Job.write` noted in a folder."""
    folder = folder.resolve()
    told = json.loads((folder / JOB).read_text(encoding="utf-8"))
    commands = tuple(tuple(words) for words in told["commands"])
    return Job(folder.name, (folder / told["home"]).resolve(), folder, commands)


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
    return before is not None and [list(c) for c in before] == [list(c) for c in commands]


def _read(file: Path) -> dict[str, Any]:
    """The content of a file that may not be there."""
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}
