"""Files appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` (same suffixes) to write to; rename it when the block ends well.

    Works for a file or a folder. After an error nothing is left; after a kill at most a name that
    starts with ``.partial-``, which the next writing of the same path removes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
    ours = re.compile(rf"\.partial-\d+(\.old)?-{re.escape(path.name)}")  # and not what is written to another-NAME
    for left in [p for p in path.parent.glob(".partial-*") if ours.fullmatch(p.name)]:
        _remove(left)
    try:
        yield partial
        if partial.is_dir():
            if path.exists():  # rename cannot replace a folder that is not empty
                old = path.with_name(f".partial-{os.getpid()}.old-{path.name}")
                os.replace(path, old)
                os.replace(partial, path)
                _remove(old)
            else:
                os.replace(partial, path)
        else:
            with open(partial, "rb+") as f:
                os.fsync(f.fileno())
            os.replace(partial, path)
    finally:
        _remove(partial)


def write_text(path: Path, text: str) -> None:
    """Write a small text file atomically; one that says so already is left alone."""
    if path.is_file() and path.read_bytes() == text.encode("utf-8"):
        return
    with atomic(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
