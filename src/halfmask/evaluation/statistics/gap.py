"""How much of the gap between a baseline and a ceiling an arm closes, as domain adaptation is judged."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from halfmask.evaluation.statistics.bootstrap import interval, resampled_means
from halfmask.evaluation.statistics.direction import SHARES, sign
from halfmask.evaluation.statistics.outcomes import Cells, case_results, cells, unit_word
from halfmask.evaluation.statistics.paired import RESAMPLES

LEAST = 0.01
"""A gap of fewer points than one is none to close: a share of it would be a share of nearly nothing."""


@dataclass(frozen=True)
class Closed:
    """(arm − baseline) / (ceiling − baseline), of means over the runs and cases that all three have.

    Attributes:
        gap: by how much the ceiling is better than the baseline, in the metric's own unit, negative where it is worse;
            gap_low, gap_high: its 95 % bootstrap interval.
        share: 0 where the arm is as the baseline, 1 where it is as the ceiling, and it may lie beyond both; low, high:
            its 95 % interval, of the same resamples for all three. NaN without a gap, see `there`.
        each: the share in each repetition alone, by draw and seed (and fold, if folds share cases); NaN where the gap
            of that repetition is below `LEAST`.
        units, unit: how many there are of what, "patient" or "case".
    """

    arm: str
    baseline: str
    ceiling: str
    budget: str
    metric: str
    gap: float
    gap_low: float
    gap_high: float
    share: float
    low: float
    high: float
    each: pd.Series
    units: int
    unit: str

    @property
    def there(self) -> bool:
        """Whether there is a gap to close: the ceiling is shown to be better, and by a point where points are told."""
        return self.gap_low > 0 and self.gap >= _least(self.metric)


def closed(
    table: pd.DataFrame,
    *,
    arm: str,
    baseline: str,
    ceiling: str,
    budget: str,
    metric: str = "dice",
) -> Closed | None:
    """The share of the gap that an arm closes at a budget; None if no run and case has a figure in all three.

    Units and draws are resampled together (`resampled_means`), and each resample's share is that of its three means.

    Raises:
        ValueError: see `outcomes.case_results`.
    """
    of = lambda name: case_results(table, arm=name, budget=budget, metric=metric, structure=None)
    all_three = pd.concat([of(arm), of(baseline), of(ceiling)], axis=1).dropna()
    if all_three.empty:
        return None
    found = cells(all_three)
    means = found.by_unit().mean(axis=1)
    resampled = resampled_means(found, RESAMPLES)
    gap_low, gap_high = sorted(sign(metric) * interval(resampled[:, 2] - resampled[:, 1], len(found.units)))
    low, high = interval(_share(*resampled.T), len(found.units))
    gap = sign(metric) * float(means[2] - means[1])
    there = gap_low > 0 and gap >= _least(metric)
    share, low, high = (float(x) if there else math.nan for x in (_share(*means), low, high))
    return Closed(
        arm, baseline, ceiling, budget, metric, gap, float(gap_low), float(gap_high), share, low, high,
        each=_each(found, metric), units=len(found.units), unit=unit_word(table),
    )  # fmt: skip


def _each(found: Cells, metric: str) -> pd.Series:
    """The share in each repetition, of means over its units."""
    means = np.nanmean(found.values, axis=1)
    gap = sign(metric) * (means[2] - means[1])
    shares = np.where((gap > 0) & (gap >= _least(metric)), _share(*means), np.nan)
    return pd.Series(shares, pd.MultiIndex.from_frame(found.repetitions))


def _share(arm: np.ndarray, baseline: np.ndarray, ceiling: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (arm - baseline) / (ceiling - baseline)
    return np.where(np.isfinite(found), found, np.nan)


def _least(metric: str) -> float:
    return LEAST if metric in SHARES else 0.0
