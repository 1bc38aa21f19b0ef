"""May chance explain a difference? The paired test over cases, and its correction where many are made."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

FEW = 6
"""Below so many cases no two-sided signed-rank test can reach 0.05: 2 / 2⁵ is 0.0625."""


def signed_rank(difference: ArrayLike) -> float | None:
    """p of the two-sided Wilcoxon signed-rank test, ties left out as Wilcoxon did; None below `FEW` cases.

    Args:
        difference: (n,), a number a case, all finite.
    """
    values = np.asarray(difference, float)
    if len(values) < FEW:
        return None
    moved = values[values != 0]
    return float(stats.wilcoxon(moved).pvalue) if len(moved) else 1.0


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
