"""A CSV table of cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from halfmask.config import nearest
from halfmask.data.description import read_description
from halfmask.data.formats import own_label
from halfmask.data.index import Case, Fault, Index
from halfmask.data.layouts.targets import with_targets

CLASS = "class"
"""The column that a table without labels is classified by, unless others are named."""


def read(file: Path, classes: Sequence[str] = ()) -> Index:
    """A CSV table: case, image (or image_NAME a channel), label, group, domain, split; paths from its folder.

    Args:
        classes: columns that tell what whole images show. A table with a column "class" and without any label is read
            by that. Labels are then masks to measure with; see `targets.with_targets` for what the columns hold.

    Raises:
        ValueError: it is no such table.
    """
    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
    except (ValueError, pd.errors.ParserError) as e:
        raise ValueError(f"{file} cannot be read as a CSV table: {e}") from e
    images = [c for c in table.columns if c == "image" or c.startswith("image_")]
    if "case" not in table.columns or not images:
        missing = "case" if "case" not in table.columns else "image"
        raise ValueError(
            f"{file} has no column {missing!r} but {', '.join(table.columns)}; {nearest(missing, table.columns)}"
        )
    if not isinstance(table.index, pd.RangeIndex):  # pandas would shift the columns
        raise ValueError(f"{file}: there are rows with more values than the {len(table.columns)} columns")
    if unknown := [f"{file} has no column {c!r}; {nearest(c, table.columns)}" for c in classes if c not in table]:
        raise ValueError("\n".join(unknown))
    cases, faults = [], []
    rows: list[dict[str, str]] = []
    for number, row in enumerate(_rows(table), start=2):
        name = row["case"].strip() or f"row {number}"
        paths = tuple(file.parent / row[c] for c in images if row[c])
        for column in images:
            if not row[column]:
                what = f"column {column!r} is empty in row {number}"
                faults.append(Fault("error", name, str(file), what, "name the file or remove the row"))
        split = row.get("split") or None
        if split and split not in ("train", "val", "validation", "test"):
            what = f"split is {split!r} in row {number}"
            faults.append(Fault("error", name, str(file), what, "write train, val, test or nothing"))
        if paths:
            label = file.parent / row["label"] if row.get("label") else own_label(paths[0])
            cases.append(Case(name, paths, label, row.get("group") or None, split, row.get("domain") or None))
            rows.append(row)
    if not classes and CLASS in table and not any(case.label for case in cases):
        classes = (CLASS,)
    names = tuple(c.removeprefix("image_") for c in images) if images != ["image"] else ()
    index = Index(file.parent, tuple(cases), names, faults=tuple(faults))
    if classes:
        described = read_description(replace(index, cases=()))
        return replace(with_targets(index, rows, classes, file), channels=described.channels, ignore=described.ignore)
    return read_description(index)


def _rows(table: pd.DataFrame) -> list[dict[str, str]]:
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]
