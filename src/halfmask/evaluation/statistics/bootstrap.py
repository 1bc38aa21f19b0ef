"""Bootstrap: how the mean over units would vary with other patients and other draws."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from halfmask.evaluation.statistics.outcomes import Cells

LEVEL = 0.95
BLOCK = 2_000_000
"""Numbers in the largest arrays: resamples are made so many at a time."""


def resampled_means(cells: Cells, times: int, *, seed: int = 0) -> NDArray[np.float64]:
    """The means of K settings over the units, in ``times`` resamples: (times, K), the same resample for all K.

    Units are drawn with replacement, and so are folds, draws and seeds where there are several; what was measured is
    taken as often as the product of its counts. This is the pigeonhole bootstrap (Owen, "The pigeonhole bootstrap",
    Annals of Applied Statistics 2007, arXiv:0712.1111; for more than two factors Owen & Eckles 2012,
    arXiv:1106.2125). It counts what a single run adds by chance more than once, so it is a little wide. A factor that
    lies within another (the seeds of each draw) goes with that one. Two or three draws say little about how draws
    differ, and their part is understated: then intervals are too narrow, the more so the more units there are.
    In cross-validation the units of one fold share a training, and are drawn as if they did not.

    Args:
        cells: a unit without a result in a resample's repetitions counts for nothing there; NaN if none has one.
    """
    rng = np.random.default_rng(seed)
    _, units, repetitions = cells.values.shape
    there = ~np.isnan(cells.values)
    filled = np.where(there, cells.values, 0)
    factors = _factors(cells.repetitions)
    means = []
    for start in range(0, times, block := max(1, BLOCK // (units * repetitions))):
        size = min(block, times - start)
        weight = _counts(rng, size, units)
        often = np.ones((size, repetitions))
        for levels in factors:
            often *= _counts(rng, size, int(levels.max()) + 1)[:, levels]
        total, count = (np.einsum("sr,kur->ksu", often, a, optimize=True) for a in (filled, there.astype(float)))
        with np.errstate(invalid="ignore"):
            by_unit = np.where(count > 0, total / count, 0)
            means.append(np.einsum("su,ksu->sk", weight, by_unit) / np.einsum("su,ksu->sk", weight, count > 0))
    return np.concatenate(means)


def interval(samples: NDArray[np.float64], units: int, level: float = LEVEL) -> NDArray[np.float64]:
    """Low and high ends, (2, …), of a percentile interval over the first axis of ``samples``; NaN samples are left out.

    The percentiles are moved outward for few units, as a plain one is narrower than Student's by
    √((n − 1) / n) · z / t (Hesterberg, "What teachers should know about the bootstrap", 2015, arXiv:1411.5279).
    NaN with fewer than two units: one says nothing about others.
    """
    if units < 2 or np.isnan(samples).all():
        return np.full((2, *samples.shape[1:]), np.nan)
    student = float(stats.t.ppf((1 + level) / 2, units - 1))
    tail = float(stats.norm.cdf(-math.sqrt(units / (units - 1)) * student))
    return np.nanquantile(samples, [tail, 1 - tail], axis=0)


def _counts(rng: np.random.Generator, size: int, n: int) -> NDArray[np.float64]:
    """How often each of n is drawn in n draws with replacement: (size, n)."""
    drawn = rng.integers(n, size=(size, n)) + n * np.arange(size)[:, None]
    return np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(float)


def _factors(repetitions: pd.DataFrame) -> list[NDArray[np.intp]]:
    """The levels, (repetitions,), of each column that has several and does not lie within one already taken."""
    taken: list[str] = []
    for name in sorted(map(str, repetitions), key=lambda column: repetitions[column].nunique()):
        within = any(repetitions.groupby(name)[coarser].nunique().max() == 1 for coarser in taken)
        if repetitions[name].nunique() > 1 and not within:
            taken.append(name)
    return [pd.factorize(repetitions[name])[0] for name in taken]
