"""Several commands in one process, as a job of a study: ``python -m halfmask.chain FOLDER``.

One process for all of them loads PyTorch once, and is one thing to watch and to end.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from halfmask.cli import app
from halfmask.parent import end_with_parent
from halfmask.study.job import LOCK, SUPERVISOR, USER, Job, read_job

PATIENCE = 600.0
"""Seconds to wait for another process that still holds the job; it may be saving, its supervisor being gone."""


def carry_out(job: Job) -> int:
    """Do what is left of a job; the exit code of the command that failed, else 0."""
    os.chdir(job.home)
    try:
        with FileLock(job.folder / LOCK, timeout=PATIENCE):
            if job.is_done():
                return 0
            started = time.monotonic()
            for words in job.commands:
                print(f"$ halfmask {shlex.join(words)}", flush=True)
                if code := _command(words):
                    return code
            job.mark_done(time.monotonic() - started)
            return 0
    except Timeout:
        print(f"error: another process has held {job.folder / LOCK} for {PATIENCE:.0f} s; end it, or remove the file")
        return USER


def _command(words: Sequence[str]) -> int:
    """Give one command; any option may also stand in the environment, as HALFMASK_TRAIN_CACHE."""
    try:
        return int(app(list(words), standalone_mode=False, auto_envvar_prefix="HALFMASK") or 0)
    except (ValueError, OSError) as e:
        print(f"error: {e}", file=sys.stderr)
        return USER
    except Exception:
        traceback.print_exc()
        return 1


if __name__ == "__main__":
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    if SUPERVISOR in os.environ:
        end_with_parent(int(os.environ[SUPERVISOR]))
    sys.exit(carry_out(read_job(Path(sys.argv[1]))))
