"""Label-efficiency curves of classifiers: a metric against the number of labels, with intervals over seeds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from halfmask.evaluation.statistics.learning import Axis, LearningCurve, Point
from halfmask.report.cells import cells
from halfmask.report.document import folded
from halfmask.report.efficiency import AXES, curve_key, curve_table, efficiency_plot
from halfmask.report.figures import title
from halfmask.report.markup import Markup, join, tag
from halfmask.report.result_table import capital
from halfmask.report.study import Study

METRICS = ("auc", "recall", "f1")


def class_efficiency_section(study: Study, styles: Mapping[str, str]) -> Markup | None:
    """A plot a metric, the first open, where there are at least two budgets; and their figures."""
    parts = [(m, part) for m in METRICS if m in study.metrics and (part := _metric(study, m, styles)) is not None]
    if not parts:
        return None
    told = "Points are means over seeds, bars their 95 % t intervals within [0, 1], none where there is one "
    told += "seed; the axis is logarithmic."
    return join([tag("p", told), parts[0][1], [folded(capital(title(m)), part) for m, part in parts[1:]]])


def seed_curve(study: Study, arm: str, metric: str, by: Axis) -> LearningCurve | None:
    """An arm over the budgets that differ in labels alone, or in slices alone; None without figures."""
    found, points = cells(study, metric), []
    rows = study.table[["budget", "labels", "slices"]].groupby("budget").mean()
    fixed = "slices" if by == "labels" else "labels"
    for budget, row in rows[rows[fixed] == rows[fixed].max()].sort_values(by).iterrows():
        cell = found[arm, str(budget)]
        if len(cell.values):
            ends = np.clip([cell.mean - cell.spread, cell.mean + cell.spread], 0, 1)  # NaN stays NaN
            points.append(Point(str(budget), float(row[by]), cell.mean, *map(float, ends)))
    if not points:
        return None
    seeds = max(len(found[arm, p.budget].values) for p in points)
    return LearningCurve(arm, metric, None, by, tuple(points), seeds, "seed", left_out=0, law=None)


def _metric(study: Study, metric: str, styles: Mapping[str, str]) -> Markup | None:
    parts = []
    for by in AXES:
        curves = [c for arm in study.measured() if (c := seed_curve(study, arm, metric, by)) is not None]
        if any(len(curve.points) > 1 for curve in curves):
            name = f"{title(metric)} over the {AXES[by]}"
            key = tag("ul", [curve_key(c.arm, styles[c.arm]) for c in curves], class_="key")
            parts += [
                tag("figure", tag("figcaption", name), efficiency_plot(name, curves, styles, by), key),
                curve_table(f"{name}, with 95 % intervals", curves, by),
            ]
    return tag("div", parts, class_="efficiency") if parts else None
