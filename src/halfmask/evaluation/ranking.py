"""How well a score ranks the cases that have a class above those that have not: curves and the areas under them.

Scores are (N,) and larger for a class that is more likely; ``positive`` is (N,) of truth values. Cases of equal score
count as one step, so no order among them is assumed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Truths = NDArray[np.bool_]


def roc(score: NDArray[Any], positive: Truths) -> tuple[Numbers, Numbers]:
    """False and true positive rates (T + 1,) for thresholds from above all scores to the least; NaN if undefined."""
    false, true = _from_the_top(score, positive)
    with np.errstate(invalid="ignore"):
        return np.append(0.0, false) / false[-1:].sum(), np.append(0.0, true) / true[-1:].sum()


def precision_recall(score: NDArray[Any], positive: Truths) -> tuple[Numbers, Numbers]:
    """Precision and recall (T,), recall rising, for the same thresholds but the one above all; NaN if undefined."""
    false, true = _from_the_top(score, positive)
    with np.errstate(invalid="ignore"):
        return true / (true + false), true / true[-1:].sum()


def auc(score: NDArray[Any], positive: Truths) -> float:
    """Area under the ROC curve: how often a case of the class scores above another, ties by half (Mann–Whitney).

    NaN if all cases have the class, or none has.
    """
    return float(auc_weighted(score, positive, np.ones((len(score), 1), np.float32))[0])


def auc_weighted(score: NDArray[Any], positive: Truths, weight: NDArray[np.float32]) -> Numbers:
    """`auc` for each of R columns of weights (N, R), whole numbers: (R,).

    Summed over the cases of the class, which find the others that score less by the same places in all columns.
    """
    others = np.flatnonzero(~positive)
    others = others[np.argsort(score[others], kind="stable")]
    less = np.zeros((len(others) + 1, weight.shape[1]), np.float32)  # exact up to 2²⁴ cases
    np.cumsum(weight[others], axis=0, out=less[1:])
    below, up_to = (np.searchsorted(score[others], score[positive], side) for side in ("left", "right"))
    own = weight[positive]
    right = np.einsum("nr,nr->r", own, less[below] + less[up_to], dtype=np.float64) / 2
    total = own.sum(0, dtype=np.float64) * less[-1]
    return np.divide(right, total, out=np.full(len(total), np.nan), where=total > 0)


def average_precision(score: NDArray[Any], positive: Truths) -> float:
    """Mean of the precision at each case of the class, from the top: Σ (Rₙ − Rₙ₋₁) Pₙ, without interpolation.

    NaN if no case has the class.
    """
    if not positive.any():
        return float("nan")
    precision, recall = precision_recall(score, positive)
    return float((np.diff(recall, prepend=0) * precision).sum())


def _from_the_top(score: NDArray[Any], positive: Truths) -> tuple[Numbers, Numbers]:
    """How many cases without and with the class score at least each of the T different scores: (T,) each."""
    order = np.argsort(-score, kind="stable")
    has = positive[order]
    last = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1) if len(score) else np.arange(0)
    return np.cumsum(~has, dtype=float)[last], np.cumsum(has, dtype=float)[last]
