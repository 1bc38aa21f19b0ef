import math

import pytest

from halfmask.learning.clock import Clock
from halfmask.learning.schedules import RATES, sigmoid_rampup

TIMES = [t / 100 for t in range(100)]


@pytest.mark.parametrize("rate", RATES.values(), ids=RATES)
def test_rates_start_at_one_and_never_rise(rate):
    values = [rate(t) for t in TIMES]
    assert values[0] == 1
    assert values == sorted(values, reverse=True)
    assert values[-1] > 0, "the last step would be lost"


def test_rates_are_their_formulas():
    assert RATES["poly"](0.5) == 0.5**0.9
    assert RATES["cosine"](0.5) == pytest.approx(0.5)
    assert RATES["constant"](0.99) == 1


def test_the_ramp_rises_to_one_over_its_length():
    assert sigmoid_rampup(0) == pytest.approx(math.exp(-5))
    values = [sigmoid_rampup(t) for t in TIMES]
    assert values == sorted(values)
    assert sigmoid_rampup(0.25, length=0.5) == sigmoid_rampup(0.5)
    assert sigmoid_rampup(0.5, length=0.5) == sigmoid_rampup(0.9, length=0.5) == 1


def test_the_clock_never_reaches_the_end():
    assert [Clock(step, 4).progress for step in range(4)] == [0, 0.25, 0.5, 0.75]
