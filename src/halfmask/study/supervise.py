"""A process for a job, watched until it ends: here, in a thread, or on a computer of a cluster."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from halfmask.study.job import LOG, SUPERVISOR, USER, Job

STOP = "stop"
"""A file of this name in a study's folder tells all supervisors, wherever they are, to stop their jobs."""
GRACE = 120.0
"""Seconds that a job has to save and end, once told to."""
TRIES = 2
POLL = 0.2
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLOSC_NTHREADS")


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes:
        error: what went wrong, in the job's own last words.
        seconds: that it took, all tries together.
    """

    state: Literal["done", "failed", "stopped"]
    error: str = ""
    seconds: float = 0.0


def supervise(job: Job, environment: Mapping[str, str], stop: Path) -> Outcome:
    """Do a job in a process of its own, and once more if that ends for no fault of the user's.

    A function that pickles: it needs files alone, which every computer that it may run on has to see alike.

    Args:
        environment: variables for the process, over this one's.
        stop: a file that, once it is there, ends the job; see `STOP`.
    """
    started = time.monotonic()
    took = lambda: round(time.monotonic() - started, 1)
    told = ""
    for _ in range(TRIES):
        if job.is_done():
            return Outcome("done", seconds=took())
        if stop.exists():
            return Outcome("stopped", seconds=took())
        job.write()
        code = _watch(job, environment, stop)
        if code == 0:
            return Outcome("done", seconds=took())
        if stop.exists():
            return Outcome("stopped", seconds=took())
        told = last_words(job.folder / LOG) or ending(code)
        if code == USER:
            break
    return Outcome("failed", told, took())


def _watch(job: Job, environment: Mapping[str, str], stop: Path) -> int:
    """The exit code of the job's process; it is told to stop when all are."""
    own = dict.fromkeys(THREADS, str(job.need.threads)) | {SUPERVISOR: str(os.getpid()), **environment}
    # -P: no modules from the current folder, which is the study's.
    command = [sys.executable, "-P", "-m", "halfmask.chain", str(job.folder)]
    with (
        open(job.folder / LOG, "ab") as log,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **own}, process_group=0
        ) as process,
    ):
        try:
            while process.poll() is None and not stop.exists():
                time.sleep(POLL)
            if process.poll() is None:
                process.terminate()
            return process.wait(GRACE)
        except subprocess.TimeoutExpired:
            return -signal.SIGKILL
        finally:
            process.kill()


def last_words(log: Path) -> str:
    """The error that a log ends with: from "error:" on, or the last line of a traceback; empty if there is none."""
    with open(log, "rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 20_000))
        lines = file.read().decode(errors="replace").rstrip().splitlines()
    for n, line in reversed(list(enumerate(lines))):
        if line.startswith("$ halfmask "):
            return ""
        if line.startswith("error: "):
            return "\n".join(lines[n:]).removeprefix("error: ")
        if re.match(r"[\w.]+(Error|Exception|Interrupt)\b", line):
            return line
    return ""


def ending(code: int) -> str:
    """How a process ended, in words, by its exit code."""
    if code >= 0:
        return f"it ended with exit code {code}"
    hint = "; was there not enough memory?" if -code == signal.SIGKILL else ""
    return f"it was ended by {signal.Signals(-code).name}{hint}"
