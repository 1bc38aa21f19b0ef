"""Files appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
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
    for left in path.parent.glob(f".partial-*-{_escaped(path.name)}"):
        _remove(left)
    try:
        yield partial
        if partial.is_dir():
            if path.exists():  # rename cannot replace a folder that is not empty
                old = path.with_name(f".partial-{os.getpid()}-old-{path.name}")
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
    """Write a small text file atomically."""
    with atomic(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _escaped(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)
