"""Whether a classifier is as often right as it is sure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halfmask.evaluation.probabilities import checked, known

BINS = 15


@dataclass(frozen=True, eq=False)
class Reliability:
    """Bins of equal width over [0, 1], each without its lower end.

    Attributes:
        confidence: (bins,), mean probability; accuracy: (bins,), how often it was so. NaN where a bin is empty.
        count: (bins,), cases, or in multi-label cases × labels.
    """

    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    count: NDArray[np.int64]

    @property
    def error(self) -> float:
        """Mean distance of confidence and accuracy, bins weighted by their counts; NaN without a case."""
        if not self.count.sum():
            return float("nan")
        return float(np.nansum(np.abs(self.confidence - self.accuracy) * self.count) / self.count.sum())


def reliability(probability: NDArray[Any], truth: NDArray[Any], bins: int = BINS) -> Reliability:
    """The reliability diagram of probabilities (N, K).

    Args:
        truth: (N,) class numbers: the confidence is that of the decided class, and right is right. (N, K) of 0, 1
            and `IGNORE`: the confidence is the probability of each label, whose frequency is what is compared; all
            known labels together.
    """
    probability = checked(probability, truth)
    if truth.ndim == 2:
        there = known(truth)
        return _binned(probability[there], truth[there] == 1, bins)
    there = known(truth)
    decided = probability[there].argmax(1)
    return _binned(probability[there].max(1, initial=0), decided == truth[there], bins)


def ece(probability: NDArray[Any], truth: NDArray[Any], bins: int = BINS) -> float:
    """Expected calibration error (Guo et al., "On calibration of modern neural networks", 2017, arXiv:1706.04599).

    In multi-label the mean over the labels that are known anywhere, of each label's own. NaN without a known case.
    """
    if truth.ndim == 1:
        return reliability(probability, truth, bins).error
    each = [reliability(probability[:, [k]], truth[:, [k]], bins).error for k in range(truth.shape[1])]
    defined = [error for error in each if not np.isnan(error)]
    return float(np.mean(defined)) if defined else float("nan")


def _binned(confidence: NDArray[Any], right: NDArray[np.bool_], bins: int) -> Reliability:
    edges = np.linspace(0, 1, bins + 1)
    index = np.searchsorted(edges[1:-1], confidence)
    count = np.bincount(index, minlength=bins)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(index, weights=each, minlength=bins) / count for each in (confidence, right.astype(float))]
    return Reliability(means[0], means[1], count)
