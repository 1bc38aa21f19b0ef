"""The learning curve of an arm: its metric at each budget, and the law through them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from halfmask.evaluation.statistics.bootstrap import interval, resampled_means
from halfmask.evaluation.statistics.direction import best, sign
from halfmask.evaluation.statistics.law import Law, fit
from halfmask.evaluation.statistics.outcomes import RUN, Cells, case_results, cells, check, unit_word

Axis = Literal["labels", "slices"]
RESAMPLES = 1_000


@dataclass(frozen=True)
class Point:
    """One budget.

    Attributes:
        x: labeled groups, the mean over the runs; or the share of slices, 0…1.
        mean: over the units; low, high: its 95 % bootstrap interval.
    """

    budget: str
    x: float
    mean: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """An arm over its budgets, on the units that all of them have.

    Attributes:
        points: by x.
        units: that each point is the mean of; unit: what they are, "patient" or "case".
        left_out: units that not every budget has, not used.
        law: the fit, of the metric times its `direction.sign`: first that of the means, then those of the resamples.
            It knows of other patients and draws, not of other laws. None with one budget.
    """

    arm: str
    metric: str
    structure: str | None
    by: Axis
    points: tuple[Point, ...]
    units: int
    unit: str
    left_out: int
    law: Law | None = field(repr=False)

    @property
    def misfit(self) -> float:
        """See `Law.misfit`; 0 without a law."""
        x, means = zip(*((point.x, sign(self.metric) * point.mean) for point in self.points), strict=True)
        return 0.0 if self.law is None else self.law.misfit(x, means)

    def at(self, x: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """The law at x (N,), above 0, and the low and high ends of its 95 % interval, (N,) each, in the metric's unit.

        Raises:
            ValueError: there is no law.
        """
        if self.law is None:
            raise ValueError(f"{self.arm} has one budget: no curve goes through it")
        values = sign(self.metric) * self.law(x)
        low, high = interval(values[1:], self.units)
        return values[0], low, high


def learning_curve(
    table: pd.DataFrame, *, arm: str, metric: str = "dice", structure: str | None = None, by: Axis = "labels"
) -> LearningCurve | None:
    """The learning curve of an arm; None without results, or without a unit that every budget has.

    Args:
        by: "labels" takes the budgets with the largest share of slices, "slices" those with the most labels.

    Raises:
        ValueError: see `outcomes.case_results`.
    """
    results = budget_results(table, arm=arm, metric=metric, structure=structure, by=by)
    if not results:
        return None
    every = cells(pd.concat({budget: values for budget, (_, values) in results.items()}, axis=1))
    found = every.complete()
    if not found.units:
        return None
    x = [place for place, _ in results.values()]
    means = means_and_resamples(found)
    low, high = interval(means[1:], len(found.units))
    points = [
        Point(budget, place, *map(float, told))
        for budget, place, *told in zip(results, x, means[0], low, high, strict=True)
    ]
    return LearningCurve(
        arm, metric, structure, by, tuple(points), len(found.units), unit_word(table),
        left_out=len(every.units) - len(found.units), law=fit(x, sign(metric) * means, top=best(metric)),
    )  # fmt: skip


def budget_results(
    table: pd.DataFrame, *, arm: str, metric: str, structure: str | None, by: Axis
) -> dict[str, tuple[float, pd.Series]]:
    """For each budget of a curve its x and its `outcomes.case_results`, by x."""
    check(table, metric, structure)
    rows = table[table["arm"] == arm]
    other = rows["slices" if by == "labels" else "labels"]
    rows = rows[other == other.groupby(rows["fold"].astype(str)).transform("max")]
    found = {
        budget: (
            budget_place(rows, arm, budget, by),
            case_results(table, arm=arm, budget=budget, metric=metric, structure=structure),
        )
        for budget in rows["budget"].unique()
    }
    return dict(sorted(found.items(), key=lambda item: item[1][0]))


def budget_place(table: pd.DataFrame, arm: str, budget: str, by: Axis) -> float:
    """The x of an arm's budget: the mean over its runs."""
    rows = table[(table["arm"] == arm) & (table["budget"] == budget)]
    return float(rows.drop_duplicates(RUN)[by].mean())


def means_and_resamples(found: Cells) -> NDArray[np.float64]:
    """First the means over the units, then those of each resample that has them all: (1 + resamples, K)."""
    resamples = resampled_means(found, RESAMPLES)
    return np.vstack([found.by_unit().mean(-1), resamples[~np.isnan(resamples).any(-1)]])
