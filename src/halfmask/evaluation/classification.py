"""How well probabilities of classes agree with the true classes of cases.

Probabilities are (N, K) in [0, 1]. Truth is (N,) class numbers where each case has one class (multi-class), or (N, K)
of 0 and 1 where it may have several (multi-label); `IGNORE` stands for what nobody knows, and counts nowhere.
Multi-class decides for the most probable class, the first of equals; multi-label for each label from 0.5 on.

Conventions. A class that no case has gets NaN for precision, recall, F1, AUC and average precision, one that every
case has NaN for specificity and AUC. A class that occurs but is never decided for has a precision of 0, as is usual.
A macro mean is over the classes where the metric is defined, NaN if there is none; the entry `MEAN` counts the classes
without AUC as ``undefined``. With two classes, both are ranked by the probability of the second.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halfmask.evaluation import ranking
from halfmask.evaluation.calibration import ece
from halfmask.evaluation.probabilities import checked, decisions, known, one_hot, scores
from halfmask.evaluation.table import MEAN

Numbers = NDArray[np.float64]
MACRO = ("recall", "precision", "f1", "specificity", "auc", "average_precision")
PER_CLASS = (*MACRO, "accuracy", "support")
OVERALL = (
    "auc", "recall", "f1", "accuracy", "precision", "specificity", "average_precision", "f1_micro", "recall_micro",
    "precision_micro", "ece", "brier", "log_loss", "support", "undefined",
)  # fmt: skip
"""The metrics of the entry `MEAN`."""
LOWER_IS_BETTER = ("ece", "brier", "log_loss")
COUNTS = ("support", "undefined")
"""What is no metric."""


def measure(probability: NDArray[Any], truth: NDArray[Any], classes: Sequence[str]) -> dict[str, dict[str, float]]:
    """The metrics of each class (`PER_CLASS`), one against the rest, and of all as `MEAN` (`OVERALL`).

    Of `MEAN` recall, precision, F1, specificity, AUC and average precision are macro means (so recall is the balanced
    accuracy), those called micro count all decisions alike. In multi-label accuracy is the share of known labels that
    are right, and ECE, Brier score and log loss are means over labels. The Brier score is the sum over classes of
    squared differences (Brier 1950), half of it with two classes; log loss is natural and takes probabilities as at
    least the float64 epsilon. ``support`` counts cases with a known class.

    Raises:
        ValueError: shapes that do not fit, probabilities outside [0, 1] or not adding up to 1 in multi-class, class
            numbers that there are not, or a class called `MEAN`.
    """
    probability = checked(probability, truth, classes)
    there = np.broadcast_to(known(truth) if truth.ndim == 2 else known(truth)[:, None], probability.shape)
    has, decided, score = (
        one_hot(truth, len(classes)),
        decisions(probability, truth.ndim == 2),
        scores(probability, truth),
    )
    found = {
        name: _class(score[there[:, k], k], has[there[:, k], k], decided[there[:, k], k])
        for k, name in enumerate(classes)
    }
    mean = {metric: _macro([found[name][metric] for name in classes]) for metric in MACRO}
    right, wrong, missed = (float((a & b & there).sum()) for a, b in ((has, decided), (~has, decided), (has, ~decided)))
    mean |= {"recall_micro": _share(right, right + missed), "precision_micro": _share(right, right + wrong)}
    mean["f1_micro"] = _share(2 * right, 2 * right + wrong + missed)
    same = (has == decided)[there] if truth.ndim == 2 else np.asarray((has & decided).any(1))[there[:, 0]]
    mean["accuracy"] = float(same.mean()) if same.size else float("nan")
    mean |= {"ece": ece(probability, truth), "brier": _brier(probability, has, there, truth.ndim == 2)}
    mean["log_loss"] = _log_loss(probability, has, there, truth.ndim == 2)
    mean["support"] = float(there.any(1).sum())
    mean["undefined"] = float(sum(np.isnan(found[name]["auc"]) for name in classes))
    return {**found, MEAN: {metric: mean[metric] for metric in OVERALL}}


def confusion(probability: NDArray[Any], truth: NDArray[Any], classes: Sequence[str]) -> NDArray[np.int64]:
    """How often each class (rows) was taken for each (columns): (K, K); multi-class only."""
    probability = checked(probability, truth, classes)
    if truth.ndim != 1:
        raise ValueError("a confusion matrix needs cases of one class each; these have several labels")
    there, k = known(truth), len(classes)
    pairs = truth[there].astype(np.int64) * k + probability[there].argmax(1)
    return np.bincount(pairs, minlength=k * k).reshape(k, k)


def _class(score: NDArray[Any], has: NDArray[np.bool_], decided: NDArray[np.bool_]) -> dict[str, float]:
    """One class against the rest, over the cases where it is known; arrays (N,)."""
    right, wrong, missed = (float(both.sum()) for both in (has & decided, ~has & decided, has & ~decided))
    positives, negatives = float(has.sum()), float((~has).sum())
    found = {
        "recall": _share(right, positives),
        "precision": _share(right, right + wrong) if right + wrong else 0.0,
        "f1": _share(2 * right, 2 * right + wrong + missed),
        "specificity": _share(negatives - wrong, negatives),
        "auc": ranking.auc(score, has),
        "average_precision": ranking.average_precision(score, has),
        "accuracy": _share(right + negatives - wrong, positives + negatives),
        "support": positives,
    }
    if not positives:
        found |= dict.fromkeys(("precision", "f1"), float("nan"))
    return found


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def _macro(values: Sequence[float]) -> float:
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")


def _brier(p: Numbers, has: NDArray[np.bool_], there: NDArray[np.bool_], multi_label: bool) -> float:
    squares = (p - has) ** 2
    if multi_label:
        return _macro([float(squares[there[:, k], k].mean()) for k in np.flatnonzero(there.any(0))])
    kept = squares[there[:, 0]].sum(1) / (2 if p.shape[1] == 2 else 1)
    return float(kept.mean()) if len(kept) else float("nan")


def _log_loss(p: Numbers, has: NDArray[np.bool_], there: NDArray[np.bool_], multi_label: bool) -> float:
    least = np.finfo(np.float64).eps
    if multi_label:
        given = -np.log(np.clip(np.where(has, p, 1 - p), least, 1))
        return _macro([float(given[there[:, k], k].mean()) for k in np.flatnonzero(there.any(0))])
    given = -np.log(np.clip(p[has], least, 1))  # one a case with a known class
    return float(given.mean()) if len(given) else float("nan")
