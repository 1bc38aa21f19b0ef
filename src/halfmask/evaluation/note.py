"""What was measured, noted beside the masks so that others find labels and table again."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from halfmask.data.atomic import write_text
from halfmask.evaluation.compare import Comparison

FILE = "evaluation.json"


@dataclass(frozen=True)
class Note:
    """What `halfmask evaluate` measured in a folder of masks.

    Attributes:
        table: the CSV table, a row for each case and structure.
        labels: the data set or folder that was given.
        files: the label file of each case.
        structures: name → values in masks and labels.
        ignore: the value of voxels that nobody annotated.
    """

    table: Path
    labels: Path
    files: Mapping[str, Path]
    structures: Mapping[str, tuple[int, ...]]
    ignore: int | None


def write(predictions: Path, labels: Path, comparison: Comparison, table: Path) -> None:
    """Note it in ``predictions``; the table relative to it, so that both can move together."""
    told = {
        "table": os.path.relpath(table.resolve(), predictions.resolve()),
        "labels": str(labels.resolve()),
        "structures": {name: list(values) for name, values in comparison.structures.items()},
        "ignore": comparison.ignore,
        "files": {pair.case: str(pair.label.resolve()) for pair in comparison.pairs},
    }
    write_text(predictions / FILE, json.dumps(told, indent=1))


def read(predictions: Path) -> Note:
    """What was noted in ``predictions``.

    Raises:
        ValueError: there is no note, or it is not as `write` leaves it.
    """
    file = predictions / FILE
    if not file.is_file():
        raise ValueError(f"{predictions} was not measured; run `halfmask evaluate {predictions} LABELS`")
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        return Note(
            table=Path(os.path.normpath(predictions / told["table"])),
            labels=Path(told["labels"]),
            files={case: Path(label) for case, label in told["files"].items()},
            structures={name: tuple(values) for name, values in told["structures"].items()},
            ignore=told["ignore"],
        )
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise ValueError(
            f"{file} is not as `halfmask evaluate` writes it ({type(e).__name__}: {e}); run it again"
        ) from e


def forget(predictions: Path) -> None:
    """Remove the note, as the masks it tells of are about to be replaced."""
    (predictions / FILE).unlink(missing_ok=True)
