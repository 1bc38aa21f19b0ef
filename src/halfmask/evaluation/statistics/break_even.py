"""What labels are worth: how many of the baseline's equal an arm's, and what the next ones would bring."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from halfmask.evaluation.statistics.bootstrap import interval
from halfmask.evaluation.statistics.direction import best, sign
from halfmask.evaluation.statistics.law import fit
from halfmask.evaluation.statistics.learning import (
    Axis,
    LearningCurve,
    budget_place,
    budget_results,
    means_and_resamples,
)
from halfmask.evaluation.statistics.outcomes import case_results, cells

FLAT = 1e-9
"""What a curve must gain from its first budget to its last for a label to be worth anything; less is rounding."""

ROUNDING = 1e-9


@dataclass(frozen=True)
class BreakEven:
    """How many labels the baseline needs to be as good as an arm at a budget.

    ``equal``, ``low`` and ``high`` are within [``fewest``, ``most``], and there mean "fewer than" and "more than": no
    curve is believed further out.

    Attributes:
        x: labels of the arm (or its share of slices).
        equal: labels of the baseline; low, high: its 95 % bootstrap interval, NaN with fewer than two units.
        misfit: see `Law.misfit`: the interval knows of other patients and draws, not of a curve of another shape.
        fewest, most: half of the baseline's smallest budget, and twice its largest (at most all slices).
        measured: the baseline's smallest and largest budget.
    """

    arm: str
    baseline: str
    budget: str
    metric: str
    structure: str | None
    by: Axis
    x: float
    equal: float
    low: float
    high: float
    misfit: float
    fewest: float
    most: float
    measured: tuple[float, float]

    @property
    def found(self) -> bool:
        """Whether the curve tells how many, and not only that it is more or fewer."""
        return self.fewest * (1 + ROUNDING) < self.equal < self.most * (1 - ROUNDING)

    @property
    def extrapolated(self) -> bool:
        """Whether ``equal`` lies outside the budgets measured."""
        return not self.measured[0] * (1 - 1e-6) <= self.equal <= self.measured[1] * (1 + 1e-6)


@dataclass(frozen=True)
class Next:
    """What more labels would bring, by the curve beyond what was measured.

    Attributes:
        x, then: labels now, the largest budget measured, and then (or shares of slices).
        gain: in the metric's unit, positive is better; low, high: its 95 % bootstrap interval, NaN with fewer than two
            units.
        misfit: see `Law.misfit`.
        kind: of the law, "power law" or "line".
    """

    arm: str
    metric: str
    structure: str | None
    by: Axis
    x: float
    then: float
    gain: float
    low: float
    high: float
    misfit: float
    kind: str


def break_even(
    table: pd.DataFrame,
    *,
    arm: str,
    baseline: str,
    budget: str,
    metric: str = "dice",
    structure: str | None = None,
    by: Axis = "labels",
) -> BreakEven | None:
    """Find the arm's mean on the baseline's fitted curve, over the units that all of them share.

    Arm and baseline are resampled together, so that patients who are easy for both tell nothing.

    Returns:
        None if the baseline has fewer than two budgets, if it gains nothing from labels (its curve is flat), or if
        there is no result or unit in common.

    Raises:
        ValueError: see `outcomes.case_results`.
    """
    results = budget_results(table, arm=baseline, metric=metric, structure=structure, by=by)
    ours = case_results(table, arm=arm, budget=budget, metric=metric, structure=structure)
    if not results or ours.empty:
        return None
    found = cells(pd.concat([*(values for _, values in results.values()), ours], axis=1, ignore_index=True)).complete()
    if not found.units:
        return None
    x = [place for place, _ in results.values()]
    means = sign(metric) * means_and_resamples(found)
    law = fit(x, means[:, :-1], top=best(metric))
    if law is None or np.ptp(law([min(x), max(x)])[0]) < FLAT:
        return None
    fewest, most = min(x) / 2, _within(2 * max(x), by)
    equal = law.inverse(means[:, -1], fewest, most)
    low, high = interval(equal[1:], len(found.units))
    return BreakEven(
        arm, baseline, budget, metric, structure, by, budget_place(table, arm, budget, by),
        equal=float(equal[0]), low=float(low), high=float(high), misfit=law.misfit(x, means[0, :-1]),
        fewest=fewest, most=most, measured=(min(x), max(x)),
    )  # fmt: skip


def next_labels(curve: LearningCurve, times: float = 2) -> Next | None:
    """What ``times`` the labels of the largest budget would bring; None without a curve, beyond all slices, or if the
    curve is flat: labels brought nothing so far, which is no proof that more would not."""
    x = curve.points[-1].x
    then = _within(times * x, curve.by)
    if curve.law is None or then <= x:
        return None
    values = curve.law([x, then])
    gains = values[:, 1] - values[:, 0]
    if gains[0] < FLAT:
        return None
    low, high = interval(gains[1:], curve.units)
    return Next(
        curve.arm, curve.metric, curve.structure, curve.by, x, then,
        gain=float(gains[0]), low=float(low), high=float(high), misfit=curve.misfit, kind=curve.law.kind,
    )  # fmt: skip


def _within(x: float, by: Axis) -> float:
    return min(x, 1.0) if by == "slices" else x
