"""Intervals over seeds against SciPy, over cases against the bootstrap done slowly."""

import math

import numpy as np
import pytest
from scipy import stats

from halfmask.data.batch import IGNORE
from halfmask.evaluation.classification import measure
from halfmask.evaluation.statistics.seeds import bootstrap_interval, interval


def test_the_interval_over_seeds_is_students():
    values = np.array([0.81, 0.84, 0.79, 0.9])
    mean, half = interval(values)
    low, high = stats.t.interval(0.95, 3, loc=values.mean(), scale=stats.sem(values))
    assert (mean - half, mean + half) == pytest.approx((low, high))
    assert interval([0.5])[0] == 0.5 and math.isnan(interval([0.5]).half) and not interval([0.5]).leaves_out_0
    assert all(map(math.isnan, interval([0.5, math.nan, 0.6]))) and math.isnan(interval([]).mean)
    assert interval([0.1, 0.11, 0.12]).leaves_out_0 and not interval([0.1, -0.1, 0.12]).leaves_out_0


@pytest.mark.parametrize("metric", ["auc", "recall"])
@pytest.mark.parametrize("multi_label", [False, True])
def test_the_bootstrap_is_that_of_measure_on_resampled_cases(metric, multi_label):
    rng = np.random.default_rng(0)
    names = ["a", "b", "c"]
    truth = rng.integers(2, size=(60, 3)) if multi_label else rng.integers(3, size=60)
    truth[:4] = IGNORE
    has = truth if multi_label else truth[:, None] == np.arange(3)
    logits = rng.normal(size=(2, 60, 3)) + (has == 1)
    runs = np.exp(logits) / (1 + np.exp(logits) if multi_label else np.exp(logits).sum(-1, keepdims=True))
    found = bootstrap_interval(list(runs), truth, metric, times=200, seed=3)
    drawn = np.random.default_rng(3).integers(60, size=(200, 60))
    slow = [np.mean([measure(p[i], truth[i], names)["mean"][metric] for p in runs]) for i in drawn]
    assert found == pytest.approx(tuple(np.quantile(slow, [0.025, 0.975])))
    assert found == bootstrap_interval(list(runs), truth, metric, times=200, seed=3)


def test_more_cases_narrow_it_and_one_class_leaves_none():
    rng = np.random.default_rng(1)
    truth = rng.integers(2, size=2000)
    second = np.clip(rng.normal(0.4 + 0.2 * truth, 0.2), 0, 1)
    p = np.stack([1 - second, second], 1)
    widths = [np.subtract(*bootstrap_interval([p[:n]], truth[:n])[::-1]) for n in (100, 2000)]
    assert widths[1] < widths[0] / 3
    assert all(map(math.isnan, bootstrap_interval([p], np.zeros(2000, int))))
