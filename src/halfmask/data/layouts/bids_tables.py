"""Tables of a BIDS data set: tab-separated, with n/a for what is not known."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from halfmask.data.index import Fault

DOMAINS = ("site", "scanner", "center", "centre")
"""Columns of participants.tsv that name a subject's domain, the first that there is, whatever its case."""


def read_tsv(file: Path, needed: Sequence[str]) -> tuple[list[dict[str, str]], list[Fault]]:
    """Its rows by lower-case column, "" for n/a; none if one of the columns needed is missing."""
    lines = file.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    table = [[value.strip() for value in line.split("\t")] for line in lines if line.strip()]
    columns = [name.lower() for name in table[0]] if table else []
    if missing := [name for name in needed if name not in columns]:
        what = f"has no column {missing[0]!r} but {', '.join(columns) or 'nothing'}; it is not used"
        return [], [Fault("warning", "", str(file), what, "part the columns by tabs, and name them in the first line")]
    faults = []
    if uneven := [row[0] for row in table[1:] if len(row) != len(columns)]:
        what = f"{len(uneven)} rows have not the {len(columns)} values of the first line, {uneven[0]!r} the first"
        faults.append(Fault("warning", "", str(file), what, "part the values by single tabs, and write n/a for none"))
    known = lambda value: "" if value.lower() == "n/a" else value
    rows = [dict(zip(columns, [*map(known, row), *[""] * len(columns)], strict=False)) for row in table[1:]]
    return rows, faults


def read_domains(root: Path, subjects: Collection[str]) -> tuple[dict[str, str], list[Fault]]:
    """Subject (sub-X) to its site or scanner in participants.tsv, for those that have one there."""
    file = root / "participants.tsv"
    if not file.is_file():
        return {}, []
    rows, faults = read_tsv(file, ("participant_id",))
    by_subject: dict[str, str] = {}
    for row in rows:
        subject = "sub-" + row["participant_id"].removeprefix("sub-")
        domain = next((row[column] for column in DOMAINS if column in row), "")
        if by_subject.setdefault(subject, domain) != domain:
            what = f"{subject} stands there twice, with {by_subject[subject]!r} and {domain!r}"
            faults.append(Fault("warning", "", str(file), what, "keep one row of them; the first counts"))
    if gone := [subject for subject in by_subject if subject not in subjects]:
        what = f"{len(gone)} participants have no folder with anatomical scans, {gone[0]} the first"
        faults.append(Fault("warning", "", str(file), what, "make sure that the copy is whole"))
    return {subject: domain for subject, domain in by_subject.items() if domain}, faults
