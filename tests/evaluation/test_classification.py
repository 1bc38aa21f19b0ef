"""Metrics of classes against scikit-learn, and at the edges where that gives up."""

import math

import numpy as np
import pytest
from sklearn import metrics
from sklearn.calibration import calibration_curve

from halfmask.data.batch import IGNORE
from halfmask.evaluation.calibration import ece, reliability
from halfmask.evaluation.classification import OVERALL, PER_CLASS, confusion, measure
from halfmask.evaluation.ranking import auc, average_precision, precision_recall, roc


def problem(seed, classes=4, cases=120, digits=2):
    """Probabilities that know something, rounded so that some are equal; every class occurs."""
    rng = np.random.default_rng(seed)
    truth = np.append(np.arange(classes), rng.integers(classes, size=cases - classes))
    logits = rng.normal(size=(cases, classes)) + 1.2 * (truth[:, None] == np.arange(classes))
    p = np.round(np.exp(logits) / np.exp(logits).sum(1, keepdims=True), digits)
    return p / p.sum(1, keepdims=True), truth, [f"c{k}" for k in range(classes)]


def labels(seed, classes=3, cases=90):
    rng = np.random.default_rng(seed)
    truth = rng.integers(2, size=(cases, classes))
    truth[:2] = [[0] * classes, [1] * classes]
    return np.round(np.clip(0.3 * truth + 0.7 * rng.random((cases, classes)), 0, 1), 2), truth, list("abc")[:classes]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("classes", [2, 3, 6])
def test_multi_class_is_as_scikit_learn_says(seed, classes):
    p, truth, names = problem(seed, classes)
    found, said = measure(p, truth, names), p.argmax(1)
    mean = found["mean"]
    score = np.stack([-p[:, 1], p[:, 1]], 1) if classes == 2 else p
    assert tuple(mean) == OVERALL and set(found["c0"]) == set(PER_CLASS)
    for name, ours in (("f1", metrics.f1_score), ("recall", metrics.recall_score),
                       ("precision", metrics.precision_score)):  # fmt: skip
        each = ours(truth, said, average=None, labels=range(classes), zero_division=0)
        assert [found[c][name] for c in names] == pytest.approx(list(each))
        assert mean[name] == pytest.approx(each.mean())
        assert mean[f"{name}_micro"] == pytest.approx(ours(truth, said, average="micro"))
    assert mean["accuracy"] == pytest.approx(metrics.accuracy_score(truth, said))
    assert mean["recall"] == pytest.approx(metrics.balanced_accuracy_score(truth, said))
    for k, name in enumerate(names):
        has = truth == k
        assert found[name]["auc"] == pytest.approx(metrics.roc_auc_score(has, score[:, k]))
        assert found[name]["average_precision"] == pytest.approx(metrics.average_precision_score(has, score[:, k]))
        assert found[name]["specificity"] == pytest.approx(metrics.recall_score(~has, said != k))
        assert found[name]["accuracy"] == pytest.approx(np.mean(has == (said == k)))
        assert found[name]["support"] == has.sum()
    assert mean["auc"] == pytest.approx(np.mean([found[c]["auc"] for c in names]))
    assert mean["log_loss"] == pytest.approx(metrics.log_loss(truth, p, labels=range(classes)))
    assert mean["brier"] == pytest.approx(metrics.brier_score_loss(truth, p if classes > 2 else p[:, 1]))
    assert (confusion(p, truth, names) == metrics.confusion_matrix(truth, said, labels=range(classes))).all()
    assert (mean["support"], mean["undefined"]) == (len(truth), 0)


@pytest.mark.parametrize("seed", range(5))
def test_multi_label_is_as_scikit_learn_says(seed):
    p, truth, names = labels(seed)
    mean, said = measure(p, truth, names)["mean"], p >= 0.5
    assert mean["f1"] == pytest.approx(metrics.f1_score(truth, said, average="macro"))
    assert mean["f1_micro"] == pytest.approx(metrics.f1_score(truth, said, average="micro"))
    assert mean["precision"] == pytest.approx(metrics.precision_score(truth, said, average="macro"))
    assert mean["recall_micro"] == pytest.approx(metrics.recall_score(truth, said, average="micro"))
    assert mean["auc"] == pytest.approx(metrics.roc_auc_score(truth, p, average="macro"))
    assert mean["average_precision"] == pytest.approx(metrics.average_precision_score(truth, p, average="macro"))
    assert mean["accuracy"] == pytest.approx(1 - metrics.hamming_loss(truth, said))
    assert mean["brier"] == pytest.approx(np.mean([metrics.brier_score_loss(truth[:, k], p[:, k]) for k in range(3)]))
    assert mean["log_loss"] == pytest.approx(np.mean([metrics.log_loss(truth[:, k], p[:, k]) for k in range(3)]))


def test_what_nobody_knows_counts_nowhere():
    p, truth, names = problem(0)
    more, nobody = np.vstack([p, p[:9]]), np.append(truth, [IGNORE] * 9)
    assert measure(more, nobody, names) == measure(p, truth, names)
    assert (confusion(more, nobody, names) == confusion(p, truth, names)).all()
    p, truth, names = labels(1)
    truth[5:40, 1] = IGNORE
    kept = truth[:, 1] != IGNORE
    found = measure(p, truth, names)
    assert found["b"]["auc"] == pytest.approx(metrics.roc_auc_score(truth[kept, 1], p[kept, 1]))
    assert found["b"]["support"] == truth[kept, 1].sum() and found["mean"]["support"] == len(truth)
    rest = np.mean([np.mean((p[kept_, k] >= 0.5) == truth[kept_, k]) * kept_.sum()
                    for k, kept_ in enumerate((truth != IGNORE).T)])  # fmt: skip
    assert found["mean"]["accuracy"] == pytest.approx(3 * rest / (truth != IGNORE).sum())


def test_a_class_that_nobody_has_is_undefined_and_counted():
    p, truth, names = problem(3)
    p, truth = p[truth != 2], truth[truth != 2]
    found = measure(p, truth, names)
    absent = found["c2"]
    assert all(math.isnan(absent[m]) for m in ("auc", "recall", "precision", "f1", "average_precision"))
    assert absent["support"] == 0 and 0 <= absent["specificity"] <= 1
    assert found["mean"]["undefined"] == 1
    assert found["mean"]["recall"] == pytest.approx(np.mean([found[c]["recall"] for c in ("c0", "c1", "c3")]))
    only = measure(p[truth == 0], truth[truth == 0], names)
    assert math.isnan(only["mean"]["auc"]) and math.isnan(only["c0"]["specificity"])
    assert only["mean"]["undefined"] == 4 and only["mean"]["recall"] == only["c0"]["recall"]
    nobody = measure(p[:3], np.full(3, IGNORE), names)
    assert nobody["mean"]["support"] == 0 and math.isnan(nobody["mean"]["accuracy"])
    assert math.isnan(nobody["mean"]["ece"]) and math.isnan(nobody["mean"]["log_loss"])


def test_a_class_never_decided_for_has_no_precision_but_counts():
    p = np.array([[0.6, 0.4], [0.7, 0.3], [0.8, 0.2]])
    found = measure(p, np.array([0, 0, 1]), ["a", "b"])
    assert found["b"]["precision"] == 0 and found["mean"]["precision"] == pytest.approx(1 / 3)


def test_two_classes_have_one_ranking_even_where_the_first_is_rounded():
    second = np.array([1e-30, 1e-20, 1e-25, 0.5])
    found = measure(np.stack([1 - second, second], 1), np.array([0, 1, 0, 1]), ["a", "b"])
    assert found["a"]["auc"] == found["b"]["auc"] == 1


def test_equal_scores_have_no_order():
    score, has = np.full(10, 0.3), np.arange(10) < 4
    assert auc(score, has) == 0.5 and average_precision(score, has) == pytest.approx(0.4)
    rng = np.random.default_rng(0)
    score, has = rng.integers(6, size=80) / 5, rng.random(80) < 0.4
    false, true, _ = metrics.roc_curve(has, score, drop_intermediate=False)
    assert np.allclose(roc(score, has), (false, true))
    precision, recall, _ = metrics.precision_recall_curve(has, score)
    assert np.allclose(precision_recall(score, has), (precision[-2::-1], recall[-2::-1]))


@pytest.mark.parametrize("bins", [5, 15])
def test_reliability_is_as_scikit_learn_says(bins):
    p, truth, _ = problem(7, cases=400)
    found, right = reliability(p, truth, bins), p.argmax(1) == truth
    accuracy, confidence = calibration_curve(right, p.max(1), n_bins=bins)
    full = found.count > 0
    assert np.allclose(found.accuracy[full], accuracy) and np.allclose(found.confidence[full], confidence)
    assert np.isnan(found.accuracy[~full]).all() and found.count.sum() == 400
    slow = 0.0
    for b in range(bins):  # the definition of Guo et al.
        inside = (p.max(1) > b / bins) & (p.max(1) <= (b + 1) / bins)
        if inside.any():
            slow += inside.mean() * abs(right[inside].mean() - p.max(1)[inside].mean())
    assert ece(p, truth, bins) == pytest.approx(slow)
    p, truth, _ = labels(2)
    each = []
    for k in range(3):
        accuracy, confidence = calibration_curve(truth[:, k], p[:, k], n_bins=bins)
        count = reliability(p[:, [k]], truth[:, [k]], bins).count
        each.append((np.abs(accuracy - confidence) * count[count > 0]).sum() / len(p))
    assert ece(p, truth, bins) == pytest.approx(np.mean(each))


@pytest.mark.parametrize(
    ("p", "truth", "names", "told"),
    [
        ([[0.5, 0.5]], [2], "ab", r"0…1 or 255 \(unknown\), got \[2\]"),
        ([[0.5, np.nan]], [1], "ab", "1 of 1 cases have others"),
        ([[2.0, -1.0]], [1], "ab", r"lie in \[0, 1\]"),
        ([[0.9, 0.9]], [1], "ab", "are they logits"),
        ([[0.5, 0.5]], [1], "aa", "as many different names"),
        ([[0.5, 0.5]], [1], ["a", "mean"], "rename it"),
        ([[0.5, 0.5]], [1, 1], "ab", "got .1, 2. and .2,."),
    ],
)
def test_what_cannot_be_is_refused_in_words(p, truth, names, told):
    with pytest.raises(ValueError, match=told):
        measure(np.array(p), np.array(truth), list(names))
