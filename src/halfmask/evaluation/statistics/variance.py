"""Where the spread of an arm's results comes from: folds, draws of labels, seeds, or the patients."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from halfmask.evaluation.statistics.outcomes import RUN, case_results, unit_word


@dataclass(frozen=True)
class Part:
    """One source of variance.

    Attributes:
        name: "fold", "draw", "seed", "draw and seed" (each draw has one seed), "patient" or "case"; "rest" is what
            they do not explain together: their interactions and the chance of a single run.
        levels: how many; of the rest its degrees of freedom.
        sd: of the levels' means (n − 1); of the rest the residual one.
        share: of the sum of squares, 0…1; all parts sum to 1. NaN if nothing varies.
    """

    name: str
    levels: int
    sd: float
    share: float


@dataclass(frozen=True)
class Spread:
    """An arm's results at a budget, and the parts of their variance.

    Attributes:
        mean: of all results, one a unit and run.
        units: of which there are results; unit: what they are, "patient" or "case".
        left_out: results of a case in a run where the metric is undefined.
        parts: in the order in which they were taken out; a factor with one level is not among them, and no rest where
            units were measured once, as it cannot be told from them.
    """

    arm: str
    budget: str
    metric: str
    structure: str | None
    mean: float
    units: int
    unit: str
    left_out: int
    parts: tuple[Part, ...]

    def sd(self, name: str) -> float:
        """Of one part by its name; NaN if it is not among them."""
        return next((part.sd for part in self.parts if part.name == name), math.nan)


def spread(
    table: pd.DataFrame, *, arm: str, budget: str, metric: str = "dice", structure: str | None = None
) -> Spread | None:
    """Mean, standard deviations and shares of variance; None if the table has no defined result.

    The shares are sequential (type I) sums of squares of the additive model fold → draw → seed → unit: each factor
    explains what those before it left. In a balanced study their order changes nothing. In cross-validation the units
    lie within the folds and explain the rest within each. The sums are descriptive: a factor has some share by chance
    alone, about its levels less one among the results less one.

    Raises:
        ValueError: see `outcomes.case_results`.
    """
    results = case_results(table, arm=arm, budget=budget, metric=metric, structure=structure)
    defined = results.dropna()
    if defined.empty:
        return None
    frame = defined.groupby([*RUN, "group"]).mean().rename("value").reset_index()
    unit = unit_word(table)
    return Spread(
        arm, budget, metric, structure, mean=float(frame["value"].mean()), units=frame["group"].nunique(), unit=unit,
        left_out=len(results) - len(defined), parts=tuple(_parts(frame, unit)),
    )  # fmt: skip


def _parts(frame: pd.DataFrame, unit: str) -> list[Part]:
    """The parts from a row a unit and run: columns fold, draw, seed, group, value."""
    value = frame["value"].to_numpy(float)
    value = value - value.mean()
    total = float(value @ value)
    share = lambda squares: squares / total if total > 0 else math.nan
    sd = lambda column: float(frame.groupby(column)["value"].mean().std())
    design, left, parts = np.ones((len(value), 1)), total, []
    for name, column in _factors(frame):
        design = np.hstack([design, pd.get_dummies(frame[column]).to_numpy(float)])
        then = _residual(design, value)[0]
        parts.append(Part(name, frame[column].nunique(), sd(column), share(left - then)))
        left = then
    units = frame["group"].nunique()
    if units > 1:
        # Frisch-Waugh-Lovell: a factor of many levels is taken out of both sides by its means, not by dummies.
        within = lambda a: a - pd.DataFrame(a).groupby(frame["group"].to_numpy()).transform("mean").to_numpy()
        then, rank = _residual(within(design), within(value[:, None])[:, 0])
        parts.append(Part(unit, units, sd("group"), share(left - then)))
        left, free = then, len(value) - units - rank
    else:
        free = len(value) - int(np.linalg.matrix_rank(design))
    return [*parts, Part("rest", free, math.sqrt(left / free), share(left))] if free else parts


def _factors(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """Names and columns of the factors of runs with several levels; draw and seed are one where each has one other."""
    factors = [(column, column) for column in RUN if frame[column].nunique() > 1]
    both = len(frame[["draw", "seed"]].drop_duplicates())
    if frame["draw"].nunique() == frame["seed"].nunique() == both > 1:
        return [*(f for f in factors if f[0] == "fold"), ("draw and seed", "draw")]
    return factors


def _residual(design: NDArray[np.float64], value: NDArray[np.float64]) -> tuple[float, int]:
    """The residual sum of squares of a least-squares fit, and the design's rank."""
    solution, _, rank, _ = np.linalg.lstsq(design, value, rcond=1e-9)
    rest = value - design @ solution
    return float(rest @ rest), int(rank)
