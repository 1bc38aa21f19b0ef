import itertools

import numpy as np
import pytest
from scipy import stats

from halfmask.evaluation.statistics.chance import holm, least_p, signed_rank


def test_p_is_that_of_scipy_without_the_ties():
    assert signed_rank([0.0, *np.arange(1, 8)]) == pytest.approx(stats.wilcoxon(np.arange(1, 8)).pvalue)


@pytest.mark.parametrize("n", [6, 11])
def test_p_counts_every_choice_of_signs_where_differences_are_equal(n):
    drawn = np.random.default_rng(n).integers(-3, 6, n).astype(float)
    moved = drawn[drawn != 0]
    signs = np.array(list(itertools.product([-1, 1], repeat=len(moved))))
    ranks = stats.rankdata(np.abs(moved))
    reached = np.abs(signs @ ranks) >= abs(np.sign(moved) @ ranks) - 1e-9
    assert signed_rank(drawn) == pytest.approx(reached.mean())
    assert signed_rank(-drawn) == signed_rank(drawn)


def test_five_equal_differences_are_no_proof():
    assert [least_p(n) for n in (6, 9)] == [signed_rank(np.ones(n)) for n in (6, 9)]
    assert signed_rank([0.1] * 5 + [0.0]) == 0.0625


def test_many_cases_are_those_of_scipy():
    for n in (50, 51, 200):
        values = np.random.default_rng(n).normal(0.3, 1, n)
        assert signed_rank(values) == pytest.approx(stats.wilcoxon(values).pvalue, rel=1e-6)


def test_ties_prove_nothing_and_few_cases_are_not_tested():
    assert signed_rank(np.zeros(10)) == 1
    assert signed_rank(np.ones(5)) is None
    assert signed_rank(np.ones(6)) < 0.05


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, np.nan, 0.9]) == pytest.approx([1.0, np.nan, 1.0], nan_ok=True), "NaN does not count"
    assert holm([]) == []


def test_holm_never_falls_and_never_helps():
    ps = np.random.default_rng(0).random(20) ** 3
    corrected = np.array(holm(list(ps)))
    order = np.argsort(ps)
    assert (np.diff(corrected[order]) >= 0).all()
    assert (corrected >= ps).all() and corrected.max() <= 1
    slow = [max(min(1, (len(ps) - k) * sorted(ps)[k]) for k in range(i + 1)) for i in range(len(ps))]
    assert corrected[order] == pytest.approx(slow)
