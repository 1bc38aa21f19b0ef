"""Every arm against every other at one budget: differences, and whether chance explains them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

from halfmask.evaluation.statistics.chance import p_value
from halfmask.evaluation.statistics.paired import Difference, corrected, differences
from halfmask.report.document import folded, scrolled
from halfmask.report.markup import Markup, breakable, join, tag
from halfmask.report.study import Study
from halfmask.report.verdict import count

Pairs = Mapping[tuple[str, str], Difference]


def significance_section(study: Study) -> Markup | None:
    """The matrix of the smallest budget in the open, the others folded."""
    found = {budget: pairs(study, budget) for budget in study.by_size()}
    found = {budget: differences for budget, differences in found.items() if differences}
    if not found:
        return None
    first, *rest = found
    told = (
        "Row minus column, in points of Dice (hundredths): a plus says that the row is better. Below it p of the "
        f"two-sided Wilcoxon signed-rank test over {study.unit}s{study.of_target}, with Holm's correction over all "
        "pairs of the matrix; † and a tint (blue better, orange worse) where p < 0.05, the bootstrap interval leaves "
        f"out 0, and most {study.unit}s agree."
    )
    matrices = [folded(budget, _matrix(study, budget, found[budget])) for budget in rest]
    return join([tag("p", told), tag("h3", first), _matrix(study, first, found[first]), *matrices])


def pairs(study: Study, budget: str) -> dict[tuple[str, str], Difference]:
    """Each pair of arms once, in their order; p corrected over them all."""
    rows = study.table[study.table["budget"] == budget]
    arms = [arm for arm in study.measured() if (rows["arm"] == arm).any()]
    found = differences(rows, list(itertools.combinations(arms, 2)), budget=budget)
    return {(d.arm, d.rival): d for d in corrected(found)}


def _matrix(study: Study, budget: str, found: Pairs) -> Markup:
    arms = [arm for arm in study.arms if any(arm in pair for pair in found)]
    head = tag("tr", tag("th", "Row minus column", scope="col"), [tag("th", arm, scope="col") for arm in arms])
    rows = [
        tag("tr", tag("th", breakable(row), scope="row"), [_cell(row, column, found) for column in arms])
        for row in arms
    ]
    table = tag("table", tag("thead", head), tag("tbody", rows), class_="matrix")
    return scrolled(f"Every arm against every other, {budget}", table)


def _cell(row: str, column: str, found: Pairs) -> Markup:
    if row == column:
        return tag("td", tag("span", "–", aria_hidden="true"), tag("span", "itself", class_="unseen"))
    d = found.get((row, column)) or found.get((column, row))
    if d is None:
        return tag("td", "no pair")
    points = 100 * (d.mean if d.arm == row else -d.mean)
    told = "too few" if d.p is None else p_value(d.p)
    interval = sorted(100 * (end if d.arm == row else -end) for end in (d.low, d.high))
    title = f"{row} minus {column}: {signed(points)} points"
    if not any(map(math.isnan, interval)):
        title += f", 95 % interval {signed(interval[0])} to {signed(interval[1])}"
    title += f", {count(d.units, d.unit)}"
    style = ("better" if points > 0 else "worse") if d.shown else None
    return tag("td", tag("div", signed(points), tag("sup", "†") if d.shown else None),
               tag("div", told, class_="quiet"), class_=style, title=title)  # fmt: skip


def signed(points: float) -> str:
    """``+3.1``, ``−0.4``, ``0.0``."""
    shown = f"{points:+.1f}"
    return "0.0" if shown in ("+0.0", "-0.0") else shown.replace("-", "−")
