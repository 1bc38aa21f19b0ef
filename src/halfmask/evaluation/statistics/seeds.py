"""Intervals of a classifier's figures: over seeds, as papers print them, and over cases."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from halfmask.evaluation.probabilities import checked, decisions, known, one_hot, scores
from halfmask.evaluation.ranking import auc_weighted

LEVEL = 0.95
TIMES = 1_000
BLOCK = 1_000_000
"""Numbers in the largest arrays: resamples are made so many at a time."""


class Interval(NamedTuple):
    """A mean, and how far its interval reaches to either side."""

    mean: float
    half: float

    @property
    def leaves_out_0(self) -> bool:
        """Whether all of it lies on one side; not with one value, whose interval is unknown."""
        return abs(self.mean) > self.half


def interval(values: Sequence[float] | NDArray[Any], level: float = LEVEL) -> Interval:
    """Mean and half-width of Student's t interval over values that were drawn alike, as those of seeds.

    It tells of other seeds, not of other cases. The half-width of one value is NaN, and so is all if a value is NaN:
    a mean of the others would leave out the very run that went wrong.
    """
    given = np.asarray(values, float)
    if not given.size:
        return Interval(math.nan, math.nan)
    if given.size < 2:
        return Interval(float(given.mean()), math.nan)
    student = float(stats.t.ppf((1 + level) / 2, given.size - 1))
    return Interval(float(given.mean()), student * float(given.std(ddof=1)) / math.sqrt(given.size))


def bootstrap_interval(
    probabilities: Sequence[NDArray[Any]],
    truth: NDArray[Any],
    metric: Literal["auc", "recall"] = "auc",
    *,
    times: int = TIMES,
    level: float = LEVEL,
    seed: int = 0,
) -> tuple[float, float]:
    """Low and high ends of a percentile interval over cases, of the macro mean averaged over runs.

    Each resample draws the N cases with replacement, the same for all runs. A class that none of them has, or for AUC
    each, counts nowhere in it. It tells of other cases, not of other seeds. NaN where the metric is never defined.

    Args:
        probabilities: (N, K) a run; one alone for the interval of a run.
        truth: (N,) or (N, K), as in `classification`.
    """
    runs = [checked(p, truth) for p in probabilities]
    n, k = runs[0].shape
    has, multi_label = one_hot(truth, k), truth.ndim == 2
    there = known(truth) if multi_label else np.repeat(known(truth)[:, None], k, axis=1)
    rng, found = np.random.default_rng(seed), []
    for start in range(0, times, block := max(1, BLOCK // max(1, n))):
        weight = _counts(rng, min(block, times - start), n)
        each = np.zeros((weight.shape[1], k))
        for p in runs:
            score, decided = scores(p, truth), decisions(p, multi_label)
            for c in range(k):
                weights, own, yes = weight[there[:, c]], has[there[:, c], c], decided[there[:, c], c]
                if metric == "auc":
                    each[:, c] += auc_weighted(score[there[:, c], c], own, weights)
                else:
                    with np.errstate(invalid="ignore"):
                        each[:, c] += weights[own & yes].sum(0, dtype=float) / weights[own].sum(0, dtype=float)
        defined = ~np.isnan(each)
        with np.errstate(invalid="ignore"):
            found.append(np.where(defined, each, 0).sum(1) / defined.sum(1) / len(runs))
    means = np.concatenate(found)
    means = means[~np.isnan(means)]
    if not means.size:
        return math.nan, math.nan
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _counts(rng: np.random.Generator, times: int, n: int) -> NDArray[np.float32]:
    """How often each of n cases is drawn: (n, times)."""
    drawn = rng.integers(n, size=(times, n)) + n * np.arange(times)[:, None]
    return np.ascontiguousarray(np.bincount(drawn.ravel(), minlength=times * n).reshape(times, n).T, np.float32)
