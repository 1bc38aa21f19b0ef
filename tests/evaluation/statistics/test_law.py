import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import least_squares

from halfmask.evaluation.statistics.law import EXPONENTS, fit


def squares(law, n, y):
    return ((law(n) - y) ** 2).sum(-1)


@given(st.floats(0.5, 1), st.floats(0.05, 2), st.floats(0.1, 3), st.sampled_from([1, 3, 50]))
def test_a_noiseless_power_law_is_recovered(a, b, c, first):
    n = first * np.array([1, 2, 5, 12])
    b *= first**c
    law = fit(n, (a - b * n**-c)[None], top=1)
    assert law.kind == "power law"
    assert (law.a[0], law.c[0]) == pytest.approx((a, c), rel=1e-2)
    assert law([2 * first, 24 * first])[0] == pytest.approx(a - b * (np.array([2.0, 24]) * first) ** -c, abs=1e-4)


def test_no_fit_of_scipy_from_many_starts_is_better():
    rng = np.random.default_rng(0)
    n = np.array([1, 3, 7, 14, 70])
    y = 0.9 - 0.5 * n**-0.6 + rng.normal(0, 0.03, (20, 5))
    ours = squares(fit(n, y, top=1), n, y)
    for row, found in zip(y, ours, strict=True):
        residual = lambda p, row=row: p[0] - p[1] * n ** -p[2] - row
        bounds = ([-np.inf, 0, EXPONENTS[0]], [1, np.inf, EXPONENTS[1]])
        theirs = min(2 * least_squares(residual, [0.8, 0.3, c], bounds=bounds).cost for c in (0.1, 0.5, 1, 2))
        assert found <= theirs * (1 + 1e-4) + 1e-9


def test_it_never_falls_nor_leaves_what_a_metric_can_be():
    falling = fit([1, 2, 4], [[0.9, 0.8, 0.7]], top=1)
    assert falling.b[0] == 0 and falling([1, 100])[0] == pytest.approx([0.8, 0.8])
    steep = fit([1, 2, 4], [[0.1, 0.5, 0.9]], top=1)
    assert steep.a[0] <= 1 and steep([1e9])[0, 0] <= 1
    line = fit([1, 2], [[0.1, 0.9]], top=1)
    assert line([1, 2, 1000])[0] == pytest.approx([0.1, 0.9, 1])


def test_two_budgets_are_a_line_in_log_n_and_one_is_nothing():
    law = fit([2, 8], [[0.5, 0.7]], top=1)
    assert law.kind == "line" and law([4])[0, 0] == pytest.approx(0.6)
    assert fit([3, 3], [[0.5, 0.7]], top=1) is None


@pytest.mark.parametrize("n", [[1, 3], [1, 3, 9, 20]])
def test_the_inverse_is_the_inverse(n):
    law = fit(n, (0.6 - 0.3 * np.array(n, float) ** -0.7)[None], top=1)
    for at in (0.8, 3, 12):
        assert law.inverse(law([at])[:, 0], 0.1, 100) == pytest.approx([at])
    assert law.inverse([2.0], 0.1, 100) == [pytest.approx(100)], "never reached"
    assert law.inverse([-99.0], 0.1, 100) == [pytest.approx(0.1)]
