"""The curves of a run: one JSON object a line, in the order of steps."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from halfmask.data.atomic import write_text


class Journal:
    """Appends lines to journal.jsonl; a run that goes on from step n forgets what was written after it.

    With ``file=None`` it notes nothing, as in a process that does not lead.
    """

    def __init__(self, file: Path | None, *, resumed_at: int):
        self.file: TextIO | None = None
        if file is None:
            return
        lines = [line for line in read_journal(file) if line["step"] < resumed_at] if file.exists() else []
        write_text(file, "".join(_line(line) for line in lines))
        self.file = open(file, "a", encoding="utf-8", buffering=1)  # noqa: SIM115 (closed by `close`)

    def write(self, step: int, kind: str, **figures: Any) -> None:
        """Note figures of a kind ("train", "validation", "time", …) at a step."""
        if self.file is not None:
            self.file.write(_line({"step": step, "kind": kind, **figures}))

    def close(self) -> None:
        if self.file is not None:
            self.file.close()


def read_journal(file: Path) -> Iterator[dict[str, Any]]:
    """The lines of a journal; a last line that a kill cut short is left out."""
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            return


def _line(content: dict[str, Any]) -> str:
    rounded = {k: _short(v) for k, v in content.items()}
    return json.dumps(rounded) + "\n"


def _short(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
