"""One process at a time works in a study's folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from halfmask.study.job import LOCK
from halfmask.study.supervise import STOP
from halfmask.training.start import check_out


@contextlib.contextmanager
def alone(out: Path) -> Iterator[None]:
    """Keep others out of a study's folder; a word to stop that was left in it before is forgotten.

    Raises:
        ValueError: another process works in it, or it cannot be written to.
    """
    check_out(out)
    out.mkdir(parents=True, exist_ok=True)
    lock = FileLock(out / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise ValueError(
            f"another process works on the study in {out}; wait until it has ended, end it, or give another --out"
        ) from None
    try:
        (out / STOP).unlink(missing_ok=True)
        yield
    finally:
        lock.release()
