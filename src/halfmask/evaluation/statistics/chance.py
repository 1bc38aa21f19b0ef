"""May chance explain a difference? The paired test over cases, and its correction where many are made."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

FEW = 6
"""Below so many cases no two-sided signed-rank test can reach 0.05: 2 / 2⁵ is 0.0625."""

EXACT = 50
"""Up to so many cases all signs are counted."""


def signed_rank(difference: ArrayLike) -> float | None:
    """p of the two-sided Wilcoxon signed-rank test, cases without a difference left out; None below `FEW` cases.

    Exact up to `EXACT` cases, with equal differences too, of which the usual normal approximation makes too much: five
    equal ones would have p = 0.025 instead of 0.0625.

    Args:
        difference: (n,), a number a case, all finite.
    """
    values = np.asarray(difference, float)
    if len(values) < FEW:
        return None
    moved = values[values != 0]
    if len(moved) > EXACT:
        return float(stats.wilcoxon(moved).pvalue)
    ranks = np.rint(2 * stats.rankdata(np.abs(moved))).astype(int)  # tied ranks are halves
    ways = np.ones(1)  # how many of the 2^n signs have the sum of positive ranks s, at s
    for rank in ranks:
        ways = np.pad(ways, (0, rank)) + np.pad(ways, (rank, 0))
    least = min(ranks[moved > 0].sum(), ranks[moved < 0].sum())
    return min(1.0, float(2 * ways[: least + 1].sum() / ways.sum()))


def least_p(n: int) -> float:
    """The smallest p of the signed-rank test of n cases: all differ in one direction."""
    return float(2 * 0.5**n)


def holm(ps: Sequence[float]) -> list[float]:
    """Holm (1979): the k-th smallest of m p-values times m − k + 1, never falling, at most 1.

    NaN stays and does not count.
    """
    order = sorted((i for i, p in enumerate(ps) if not math.isnan(p)), key=lambda i: ps[i])
    result, largest = list(ps), 0.0
    for k, i in enumerate(order):
        largest = max(largest, min(1.0, ps[i] * (len(order) - k)))
        result[i] = largest
    return result


def p_value(p: float) -> str:
    """``p = 0.012``, or ``p < 0.001``."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"
