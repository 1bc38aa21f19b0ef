"""Where the spread of an arm's figures comes from: patients, folds, draws, seeds."""

from __future__ import annotations

import math

from halfmask.evaluation.statistics.variance import Part, Spread, spread
from halfmask.report.document import scrolled
from halfmask.report.markup import Markup, breakable, join, tag
from halfmask.report.study import Study


def spread_section(study: Study) -> Markup | None:
    """For each arm at each budget the standard deviation over each factor, and its share of the variance.

    None where nothing but patients differs.
    """
    found = [
        s for arm in study.measured() for budget in study.budgets
        if (s := spread(study.table, arm=arm, budget=budget)) is not None
    ]  # fmt: skip
    if not any(len(s.parts) > 1 for s in found):
        return None  # one source of spread alone: the result table has it
    factors = list(dict.fromkeys(part.name for s in found for part in s.parts))
    factors = [f for f in factors if f != "rest"] + ["rest"] * ("rest" in factors)
    head = tag("tr", [tag("th", name, scope="col") for name in ("Method", "Budget", "Mean Dice", *factors)])
    rows = [
        tag("tr", tag("th", breakable(s.arm), scope="row"), tag("td", s.budget), tag("td", f"{s.mean:.3f}"),
            [_cell(s, factor) for factor in factors])
        for s in found
    ]  # fmt: skip
    told = (
        "Standard deviation of Dice between the means of each factor's levels, and the share of the variance that it "
        "explains (sequential sums of squares; a factor has some share by chance alone); the rest is how runs and "
        f"{study.unit}s interact, and chance. A factor of one level is left out."
    )
    return join([tag("p", told), scrolled("Spread", tag("table", tag("thead", head), tag("tbody", rows)))])


def _cell(found: Spread, factor: str) -> Markup:
    part: Part | None = next((p for p in found.parts if p.name == factor), None)
    if part is None or math.isnan(part.share):
        return tag("td", "–")
    sd = "" if math.isnan(part.sd) else f"{part.sd:.3f}"
    return tag("td", sd, tag("span", f" {100 * part.share:.0f} %", class_="quiet"))
