"""What classifiers looked at: shares of it that lie in the masks, and heat maps of a few cases."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from halfmask.evaluation.statistics.seeds import interval
from halfmask.report.class_groups import told
from halfmask.report.class_pictures import KINDS, class_pictures
from halfmask.report.document import scrolled
from halfmask.report.gather import SHARES
from halfmask.report.groups import Group
from halfmask.report.markup import Markup, breakable, join, tag

MEANING = (
    "Pointing game: the share of cases whose most salient place lies in the mask. Energy: the share of all saliency "
    "that does. Area: the share of the image that is mask, which is what saliency spread evenly would give of both; "
    "energy / area above 1 says that the classifier looks at what is masked more than at the rest. Means over the "
    "cases with a mask, ± 95 % t interval over runs."
)


def saliency_section(groups: Sequence[Group]) -> Markup | None:
    """The numbers, where there are any, and pictures; None if there is neither."""
    rows = [row for g in groups for row in _rows(g)]
    pictures = class_pictures(groups)
    if not rows and pictures is None:
        return None
    parts: list[Markup | None] = []
    if rows:
        names = ("Setup", "Saliency", "Pointing game", "Energy", "Area", "Energy / area", "Cases")
        head = tag("tr", [tag("th", name, scope="col") for name in names])
        parts = [
            tag("p", MEANING),
            scrolled("Saliency and masks", tag("table", tag("thead", head), tag("tbody", rows))),
        ]
    return join([*parts, pictures])


def shares_of(table: pd.DataFrame, kind: str) -> dict[str, float]:
    """Means of a run over the cases that have a mask, and ``cases``."""
    rows = table[table["kind"] == kind].dropna(subset=list(SHARES))
    return {share: float(rows[share].mean()) for share in SHARES} | {"cases": float(len(rows))}


def _rows(group: Group) -> list[Markup]:
    tables = [e.saliency for e in group.entries if e.saliency is not None]
    kinds = dict.fromkeys(str(kind) for table in tables for kind in table["kind"])
    rows = []
    for kind in kinds:
        runs = [shares_of(table, kind) for table in tables if (table["kind"] == kind).any()]
        over = {share: interval([run[share] for run in runs]) for share in SHARES}
        ratio = over["energy"].mean / over["area"].mean if over["area"].mean else math.nan
        cases = int(np.max([run["cases"] for run in runs]))
        cells = [KINDS.get(kind, kind), told(over["pointing"]), told(over["energy"]), f"{over['area'].mean:.3f}",
                 "–" if math.isnan(ratio) else f"{ratio:.2f}", cases]  # fmt: skip
        rows.append(tag("tr", tag("th", breakable(group.title), scope="row"), [tag("td", cell) for cell in cells]))
    return rows
