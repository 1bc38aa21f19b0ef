import numpy as np
import pandas as pd
import pytest
from scipy import stats

from halfmask.evaluation.statistics.bootstrap import interval, resampled_means
from halfmask.evaluation.statistics.outcomes import Cells


def made(values, **repetitions):
    """Cells of one setting; a draw with its own seed for each column unless told."""
    values = np.asarray(values, float)
    columns = repetitions or {"draw": range(values.shape[1]), "seed": range(values.shape[1])}
    return Cells(values[None], [str(u) for u in range(len(values))], pd.DataFrame(columns))


def slow(values, times, rng):
    """The pigeonhole bootstrap in loops."""
    means, (units, draws) = [], values.shape
    for _ in range(times):
        taken = values[rng.integers(units, size=units)][:, rng.integers(draws, size=draws)]
        by_unit = [np.nanmean(unit) for unit in taken if not np.isnan(unit).all()]
        means.append(np.mean(by_unit))
    return np.array(means)


def test_without_draws_it_is_the_plain_bootstrap():
    values = np.random.default_rng(0).normal(size=30)
    ours = resampled_means(made(values[:, None]), 10_000)[:, 0]
    theirs = stats.bootstrap((values,), np.mean, n_resamples=10_000, method="percentile", rng=1)
    assert ours.std() == pytest.approx(theirs.standard_error, rel=0.03)
    assert np.quantile(ours, [0.025, 0.975]) == pytest.approx(theirs.confidence_interval, abs=0.03)


def test_units_and_draws_are_resampled_crossed_with_gaps_as_loops_do():
    rng = np.random.default_rng(0)
    values = rng.normal(0, 0.3, (12, 1)) + rng.normal(0, 0.5, (1, 4)) + rng.normal(0, 0.3, (12, 4))
    values[rng.random(values.shape) < 0.2] = np.nan
    ours, theirs = resampled_means(made(values), 10_000)[:, 0], slow(values, 4000, rng)
    assert ours.mean() == pytest.approx(theirs.mean(), abs=0.02)
    assert ours.std() == pytest.approx(theirs.std(), rel=0.05)


def test_several_factors_multiply_their_counts():
    by_fold = np.random.default_rng(0).normal(size=2)
    values = np.tile(np.repeat(by_fold, 3), (4, 1))
    means = resampled_means(made(values, fold=[0, 0, 0, 1, 1, 1], draw=[0, 1, 2] * 2), 4000)
    alone = np.isclose(means, by_fold)
    assert alone.mean(axis=0) == pytest.approx([0.25, 0.25], abs=0.03), "each fold alone in a quarter of the resamples"


def test_seeds_within_draws_go_with_their_draw():
    values = np.repeat(np.random.default_rng(0).normal(size=(6, 3)), 2, axis=1)
    nested = resampled_means(made(values, draw=[0, 0, 1, 1, 2, 2], seed=range(6)), 200)
    assert nested == pytest.approx(resampled_means(made(values[:, ::2]), 200)), "a second equal seed tells nothing new"


def test_all_settings_share_a_resample_and_the_same_table_gives_the_same_figures():
    values = np.random.default_rng(0).normal(size=(5, 3))
    both = Cells(np.stack([values, values + 1]), list("abcde"), made(values).repetitions)
    means = resampled_means(both, 50)
    assert means[:, 1] - means[:, 0] == pytest.approx(np.ones(50))
    assert (means == resampled_means(both, 50)).all()


def test_a_resample_may_hold_nothing_and_then_is_left_out():
    values = [[0.5, np.nan], [np.nan, 0.7]]
    means = resampled_means(made(values), 1000)
    assert np.isnan(means).any()
    assert np.isfinite(interval(means[:, 0], 2)).all()


@pytest.mark.parametrize("units", [4, 15])
def test_the_interval_of_few_units_is_as_wide_as_that_of_student(units):
    error = 0.1
    samples = stats.norm(0.5, error * np.sqrt((units - 1) / units)).ppf((np.arange(100_000) + 0.5) / 100_000)
    assert interval(samples, units) == pytest.approx(stats.t(units - 1, 0.5, error).interval(0.95), rel=1e-2)


def test_one_unit_has_no_interval():
    assert np.isnan(interval(resampled_means(made([[0.5, 0.6]]), 100)[:, 0], 1)).all()


@pytest.mark.parametrize(("units", "draws"), [(8, 1), (14, 5)])
def test_intervals_hold_the_truth_as_often_as_they_say(units, draws):
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(200):
        chance = [rng.normal(0, 0.04, (units, 1)), rng.normal(0, 0.01, (1, draws)), rng.normal(0, 0.02, (units, draws))]
        low, high = interval(resampled_means(made(0.03 + sum(chance)), 1000)[:, 0], units)
        held += low <= 0.03 <= high
    assert 0.91 <= held / 200 <= 0.99
