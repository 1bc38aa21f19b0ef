"""Unit by unit: each arm against the baseline, a dot a unit, with the line where both are equal."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from halfmask.evaluation.statistics.paired import paired_units
from halfmask.report.document import folded
from halfmask.report.markup import Markup, join, tag
from halfmask.report.scale import WIDTH, Scale, scale_for, tick_label
from halfmask.report.study import Study

LEFT, RIGHT, TOP, BOTTOM = 44.0, 12.0, 8.0, 40.0
SIDE = WIDTH - LEFT - RIGHT


def scatter_section(study: Study, styles: Mapping[str, str]) -> Markup | None:
    """The smallest budget in the open, the others folded; None without a baseline or anything to set against it."""
    found = {budget: _plots(study, budget, styles) for budget in study.by_size()}
    found = {budget: plots for budget, plots in found.items() if plots}
    if not found:
        return None
    first, *rest = found
    told = (
        f"A dot is a {study.unit}: across its Dice with {study.baseline}, upward with the other arm. Above the line "
        "the arm is better. Both are means over the same runs."
    )
    grid = lambda budget: tag("div", found[budget], class_="plots")
    return join([tag("p", told), tag("h3", first), grid(first), *(folded(budget, grid(budget)) for budget in rest)])


def _plots(study: Study, budget: str, styles: Mapping[str, str]) -> list[Markup]:
    """A plot an arm, all of one scale."""
    if study.baseline is None:
        return []
    others = [arm for arm in study.measured() if arm != study.baseline]
    rows = study.table[study.table["budget"] == budget]
    each = {arm: paired_units(rows, arm=arm, rival=study.baseline, budget=budget) for arm in others}
    each = {arm: units for arm, units in each.items() if len(units)}
    if not each:
        return []
    figures = pd.concat(each).to_numpy(float)
    plots = []
    for arm, units in each.items():
        name = f"{arm} against {study.baseline}, {budget}"
        plot = scatter(name, units, (figures.min(), figures.max()), study, arm, styles[arm])
        plots.append(tag("figure", tag("figcaption", arm), plot))
    return plots


def scatter(name: str, units: pd.DataFrame, reach: tuple[float, float], study: Study, arm: str, style: str) -> Markup:
    """Columns ``arm`` and ``rival``, index the unit; both axes hold ``reach``."""
    across = scale_for(*reach, LEFT, LEFT + SIDE)
    across = Scale(max(0.0, across.low), min(1.0, across.high), LEFT, LEFT + SIDE) if across.low < 1 else across
    up = Scale(across.low, across.high, TOP + SIDE, TOP)
    better = int((units["arm"] > units["rival"]).sum())
    dots = [
        tag("circle", tag("title", f"{unit}: {row['rival']:.3f} → {row['arm']:.3f}"), cx=f"{across(row['rival']):.1f}",
            cy=f"{up(row['arm']):.1f}", r="3.5")
        for unit, row in units.iterrows()
    ]  # fmt: skip
    equal = tag("path", d=f"M{LEFT} {TOP + SIDE}L{LEFT + SIDE} {TOP}", class_="equal")
    desc = f"{arm} is better in {better} of {len(units)} {study.unit}s."
    return tag(
        "svg", tag("title", name), tag("desc", desc), _ground(across, up, str(study.baseline), arm), equal,
        tag("g", dots, class_=style), viewBox=f"0 0 {WIDTH:g} {TOP + SIDE + BOTTOM:g}", role="img", class_="plot",
    )  # fmt: skip


def _ground(across: Scale, up: Scale, below: str, beside: str) -> Markup:
    lines = [
        (tag("path", d=f"M{LEFT} {up(t):.1f}H{LEFT + SIDE}M{across(t):.1f} {TOP}V{TOP + SIDE}", class_="grid"),
         tag("text", tick_label(t), x=LEFT - 6, y=up(t) + 4, class_="tick end"),
         tag("text", tick_label(t), x=f"{across(t):.1f}", y=TOP + SIDE + 16, class_="tick middle"))
        for t in across.ticks()
    ]  # fmt: skip
    names = [
        tag("text", f"{below} →", x=LEFT + SIDE, y=TOP + SIDE + 33, class_="tick end"),
        tag("text", f"↑ {beside}", x=LEFT + 6, y=TOP + 12, class_="tick start"),
    ]
    return tag("g", lines, names, aria_hidden="true")
