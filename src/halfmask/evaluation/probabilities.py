"""Probabilities of classes and true classes of cases: what they may be, and what is decided by them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halfmask.data.batch import IGNORE
from halfmask.evaluation.table import MEAN

ROUNDING = 1e-5
"""How far a probability may lie outside [0, 1], as a mean of float32 does."""


def checked(
    probability: NDArray[Any], truth: NDArray[Any], classes: Sequence[str] | None = None
) -> NDArray[np.float64]:
    """The probabilities as float64, after a look at all that may be wrong; see `classification.measure`."""
    p = np.asarray(probability, np.float64)
    if p.ndim != 2 or truth.shape not in (p.shape[:1], p.shape):
        raise ValueError(
            f"probabilities should be (cases, classes) and truth (cases,) or (cases, classes), got {p.shape} and "
            f"{truth.shape}"
        )
    if classes is not None:
        if len(classes) != p.shape[1] or len(set(classes)) != len(classes):
            raise ValueError(f"{p.shape[1]} probabilities a case need as many different names, got {list(classes)}")
        if MEAN in classes:
            raise ValueError(f"a class is called {MEAN!r}, as the row over all classes is; rename it")
    if bad := int((~((p >= -ROUNDING) & (p <= 1 + ROUNDING))).any(1).sum()):
        raise ValueError(f"probabilities lie in [0, 1]; {bad} of {len(p)} cases have others (or NaN)")
    if truth.ndim == 1 and classes is not None and len(p) and (gap := np.abs(p.sum(1) - 1).max()) > 0.01:
        raise ValueError(f"the probabilities of a case add up to 1, some are off by {gap:.3g}; are they logits?")
    most = 2 if truth.ndim == 2 else p.shape[1]
    if (strange := np.setdiff1d(truth, [*range(most), IGNORE])).size:
        raise ValueError(f"truth should be 0…{most - 1} or {IGNORE} (unknown), got {strange[:5].tolist()}")
    return np.clip(p, 0, 1)


def known(truth: NDArray[Any]) -> NDArray[np.bool_]:
    """Where something is known, of truth's shape."""
    return np.asarray(truth != IGNORE)


def one_hot(truth: NDArray[Any], classes: int) -> NDArray[np.bool_]:
    """(N, K): which classes each case has; none where it is unknown."""
    return np.asarray(truth == 1 if truth.ndim == 2 else truth[:, None] == np.arange(classes))


def decisions(probability: NDArray[Any], multi_label: bool) -> NDArray[np.bool_]:
    """(N, K): which classes each case is given."""
    if multi_label:
        return np.asarray(probability >= 0.5)
    return np.asarray(probability.argmax(1)[:, None] == np.arange(probability.shape[1]))


def scores(probability: NDArray[Any], truth: NDArray[Any]) -> NDArray[Any]:
    """(N, K), what ranks the cases for each class.

    Of two classes the first is ranked by the second's probability turned around: 1 − p, rounded, may make cases equal
    that p tells apart.
    """
    if truth.ndim == 1 and probability.shape[1] == 2:
        return np.stack([-probability[:, 1], probability[:, 1]], axis=1)
    return probability
