import numpy as np
import pytest
from scipy import stats

from halfmask.evaluation.statistics.chance import holm, signed_rank


def test_p_is_that_of_scipy_without_the_ties():
    assert signed_rank([0.0, *np.arange(1, 8)]) == pytest.approx(stats.wilcoxon(np.arange(1, 8)).pvalue)


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
