"""Checkpoints: all that a run needs to go on, and all that prediction needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from halfmask.data.atomic import atomic


def save(file: Path, content: dict[str, Any]) -> None:
    """Write plain data and tensors atomically."""
    with atomic(file) as partial:
        torch.save(content, partial)


def load(file: Path) -> dict[str, Any]:
    """Read a checkpoint on the CPU; no code in it is run.

    Raises:
        ValueError: there is none, or it cannot be read.
    """
    if not file.is_file():
        raise ValueError(f"{file.parent} holds no {file.name}; was it trained by `halfmask train … --out`?")
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as e:  # a broken zip, a pickle with code in it, …: all mean the same to the user
        reason = (str(e) or type(e).__name__) if file.stat().st_size else "it is empty"
        remedy = "if it was cut short, remove it, or the whole folder, and train anew"
        raise ValueError(f"{file} cannot be read as a checkpoint: {reason}; {remedy}") from e
