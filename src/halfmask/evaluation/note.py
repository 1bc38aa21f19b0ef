"""What was measured, noted beside the masks so that others find labels and table again."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
        masks: the folder of the masks that were measured.
        named: the class of each cluster, where labels named them; else empty.
        domains: case to domain, for every case that has one.
        chosen: the options ``channels`` and ``label``, as far as they were given.
    """

    table: Path
    labels: Path
    files: Mapping[str, Path]
    structures: Mapping[str, tuple[int, ...]]
    ignore: int | None
    masks: Path
    named: tuple[str, ...] = ()
    domains: Mapping[str, str] = field(default_factory=dict)
    chosen: Mapping[str, str] = field(default_factory=dict)


def write(
    predictions: Path,
    labels: Path,
    comparison: Comparison,
    table: Path,
    named: Sequence[str] = (),
    chosen: Mapping[str, str | None] | None = None,
) -> None:
    """Note it in ``predictions``; table and masks relative to it, so that all can move together."""
    (masks,) = {pair.prediction.parent for pair in comparison.pairs}
    told = {
        "table": os.path.relpath(table.resolve(), predictions.resolve()),
        "labels": str(labels.resolve()),
        "structures": {name: list(values) for name, values in comparison.structures.items()},
        "ignore": comparison.ignore,
        "masks": os.path.relpath(masks, predictions),
        "named": list(named),
        "domains": dict(comparison.domains),
        "files": {pair.case: str(pair.label.resolve()) for pair in comparison.pairs},
        "chosen": {option: text for option, text in (chosen or {}).items() if text is not None},
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
            masks=predictions / told.get("masks", "."),
            named=tuple(told.get("named", ())),
            domains=dict(told.get("domains") or {}),
            chosen=dict(told.get("chosen") or {}),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise ValueError(
            f"{file} is not as `halfmask evaluate` writes it ({type(e).__name__}: {e}); run it again"
        ) from e


def forget(predictions: Path) -> None:
    """Remove the note, as the masks it tells of are about to be replaced."""
    (predictions / FILE).unlink(missing_ok=True)
