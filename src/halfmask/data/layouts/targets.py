"""What whole images show, from the columns of a CSV table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from halfmask.data.batch import IGNORE
from halfmask.data.index import Fault, Index

TRUTHS = {"0": 0, "1": 1, "": IGNORE}
"""What a column of one class among several may hold."""


def with_targets(index: Index, rows: Sequence[Mapping[str, str]], columns: Sequence[str], file: Path) -> Index:
    """The index with what each image shows, and its labels as masks.

    One column holds the name of each image's class; of a column of 0 and 1 the classes are "no NAME" and "NAME".
    Several columns hold 1 where an image shows what they are called after, 0 where it does not, and nothing where
    nobody knows. A case without any is unlabeled.

    Args:
        rows: of the table, one a case.
    """
    values = [[_plain(row.get(column, "")) for column in columns] for row in rows]
    faults = list(index.faults)
    if len(columns) > 1:
        classes = tuple(columns)
        targets = [_truths(index.cases[i].name, row, columns, file, faults) for i, row in enumerate(values)]
    else:
        known = sorted({row[0] for row in values if row[0]}, key=_order)
        two = set(known) <= {"0", "1"}
        classes = (f"no {columns[0]}", columns[0]) if two else tuple(known)
        number = {"0": 0, "1": 1} if two else {name: k for k, name in enumerate(known)}
        targets = [(number[row[0]],) if row[0] else None for row in values]
    cases = tuple(
        replace(case, label=None, mask=case.label, target=target)
        for case, target in zip(index.cases, targets, strict=True)
    )
    return replace(index, cases=cases, classes=classes, columns=tuple(columns), faults=tuple(faults))


def _truths(
    case: str, row: Sequence[str], columns: Sequence[str], file: Path, faults: list[Fault]
) -> tuple[int, ...] | None:
    for column, value in zip(columns, row, strict=True):
        if value not in TRUTHS:
            what = f"column {column!r} is {value!r}"
            faults.append(Fault("error", case, str(file), what, "of several columns each holds 1, 0 or nothing"))
    found = tuple(TRUTHS.get(value, IGNORE) for value in row)
    return None if set(found) == {IGNORE} else found


def _plain(value: str) -> str:
    """Whole numbers without what spreadsheets put behind them: "1.0" is 1."""
    text = value.strip()
    head, dot, tail = text.partition(".")
    return head if dot and head.lstrip("-").isdigit() and set(tail) <= {"0"} else text


def _order(name: str) -> tuple[bool, int, str]:
    """Numbers by their size, before words."""
    number = name.lstrip("-").isdigit()
    return not number, int(name) if number else 0, name
