"""Confusion matrices: how often each class was taken for each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from halfmask.evaluation.classification import confusion
from halfmask.report.document import folded, scrolled
from halfmask.report.groups import Group
from halfmask.report.markup import Markup, breakable, join, tag
from halfmask.report.verdict import count

OPEN = 4
"""Matrices that are open at once; the rest unfolds."""


def confusion_section(groups: Sequence[Group]) -> Markup | None:
    """A matrix a setup, its runs added up; None where cases may have several labels."""
    runs = {g.title: [e.classified for e in g.entries if e.classified is not None] for g in groups}
    if any(p.multi_label for found in runs.values() for p in found):
        return None
    parts = []
    for title, found in runs.items():
        alike = [p for p in found if p.classes == found[0].classes]
        matrix = sum((confusion(p.probability, p.truth, p.classes) for p in alike), np.zeros((), np.int64))
        added = f" {count(len(alike), 'run')} added up" if len(alike) > 1 else ""
        head = tag("h3", title, tag("span", added, class_="quiet") if added else None)
        parts.append(tag("div", head, matrix_table(title, matrix, found[0].classes)))
    told = "Rows are what the cases are, columns what they were taken for; the tint is the share of the row."
    rest = parts[OPEN:]
    more = f"{len(rest)} more {'setup' if len(rest) == 1 else 'setups'}"
    return join([
        tag("p", told), tag("div", parts[:OPEN], class_="tables"),
        folded(more, tag("div", rest, class_="tables")) if rest else None,
    ])  # fmt: skip


def matrix_table(title: str, matrix: np.ndarray, classes: Sequence[str]) -> Markup:
    """Counts (K, K), with the share of the row below each."""
    head = tag("tr", tag("th", "True", scope="col"), [tag("th", name, scope="col") for name in classes])
    rows = [
        tag("tr", tag("th", breakable(name), scope="row"), [_cell(int(n), int(row.sum()), k == own)
            for k, n in enumerate(row)])
        for own, (name, row) in enumerate(zip(classes, matrix, strict=True))
    ]  # fmt: skip
    return scrolled(f"Confusion matrix of {title}", tag("table", tag("thead", head), tag("tbody", rows),
                    class_="matrix confusion"))  # fmt: skip


def _cell(n: int, whole: int, right: bool) -> Markup:
    if not whole:
        return tag("td", "–")
    share = n / whole
    return tag("td", tag("div", n), tag("div", f"{100 * share:.0f} %", class_="quiet"),
               class_="right" if right else "wrong", style=f"--share:{100 * share:.0f}")  # fmt: skip
