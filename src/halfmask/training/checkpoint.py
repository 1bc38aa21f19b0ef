"""Checkpoints: all that a run needs to go on, and all that prediction needs."""

from __future__ import annotations

import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from halfmask.data.atomic import atomic

_SHORT = re.compile("inline_container|PytorchStreamWriter|iostream error")
"""What PyTorch's writer says when the disk took less than it was given; it does not tell why."""

_REASONS = {
    r"GLOBAL (\S+)": r"it holds \1, which could run code",
    "TorchScript": "it is a TorchScript program, which is code",
    "Unsupported operand": "it is pickled in another protocol than PyTorch's, 2, or damaged",
    "weights_only": "it holds more than tensors and plain values",
    "PytorchStreamReader|inline_container|EOF|of range|magic number|Invalid arg": "it is cut short, or not PyTorch's",
}
"""Patterns of PyTorch's messages, and what they mean; many of them advise to run the code in a file."""


def save(file: Path, content: dict[str, Any]) -> None:
    """Write plain data and tensors atomically.

    Raises:
        OSError: the disk is full, or it cannot be written for another reason; what was there before stays.
    """
    try:
        with atomic(file) as partial:
            torch.save(content, partial)
    except OSError as e:
        raise OSError(f"{file} cannot be written: {e.strerror or e}") from e
    except RuntimeError as e:
        if not _SHORT.search(str(e)):
            raise
        remedy = "free some and go on with --resume"
        raise OSError(f"{file} cannot be written: no space left on its disk, or in your quota; {remedy}") from e


def load(file: Path) -> dict[str, Any]:
    """Read a checkpoint on the CPU; no code in it is run.

    Raises:
        ValueError: there is none, or it cannot be read.
    """
    if not file.is_file():
        raise ValueError(f"{file.parent} holds no {file.name}; was it trained by `halfmask train … --out`?")
    try:
        return unpickled(file)
    except Exception as e:  # a broken zip, a pickle with code in it, …: all mean the same to the user
        remedy = "if it was cut short, remove it, or the whole folder, and train anew"
        raise ValueError(f"{file} cannot be read as a checkpoint: {reason(file, e)}; {remedy}") from e


def unpickled(file: Path) -> Any:
    """What ``torch.save`` wrote, on the CPU; raises whatever PyTorch does, of which `reason` makes words."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of what is refused right after
        return torch.load(file, map_location="cpu", weights_only=True)


def reason(file: Path, error: Exception) -> str:
    """Why `unpickled` could not read a file."""
    if isinstance(error, PermissionError):
        return "you have no permission to read it"
    with file.open("rb") as f:
        start = f.read(2)
    if not start:
        return "it is empty"
    if start != b"PK" and not start.startswith(b"\x80"):  # of a zip archive; of a pickle, as before PyTorch 1.6
        return "it is no file of PyTorch's"
    if start == b"PK" and not zipfile.is_zipfile(file):
        return "it is cut short"
    told = str(error) or "EOF"
    for pattern, meaning in _REASONS.items():
        if match := re.search(pattern, told):
            return match.expand(meaning)
    return told.splitlines()[0]
