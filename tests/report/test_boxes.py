import re

import numpy as np
import pandas as pd

from halfmask.report.boxes import MANY, box_of, box_plot
from halfmask.report.scale import scale_for


def test_the_box_is_numpys_quartiles_and_tukeys_whiskers():
    values = np.array([0.1, 0.5, 0.55, 0.6, 0.62, 0.7, 0.71])
    box = box_of(values)
    assert (box.first, box.median, box.third) == tuple(np.quantile(values, (0.25, 0.5, 0.75)))
    assert (box.low, box.high) == (0.5, 0.71), "0.1 lies beyond 1.5 box lengths"
    assert set(vars(box_of(np.array([0.3]))).values()) == {0.3}


def test_a_dot_a_case_and_undefined_ones_counted():
    plot = box_plot("Dice <x>", {"run & 1": pd.Series({"a": 0.5, "<b>": 0.9, "c": np.nan})}, styles=["s0"])
    assert plot.count("<circle") == 2
    assert "run &amp; 1 (1 undefined)" in plot
    assert "<title>&lt;b&gt;: 0.9</title>" in plot
    assert "Dice &lt;x&gt;" in plot


def test_dots_lie_where_the_figures_are_and_within_the_plot():
    values = pd.Series(np.linspace(0, 1, 101))
    plot = box_plot("Dice", {"run": values}, styles=["s0"], bounds=(0, 1))
    places = [float(x) for x in re.findall(r'<circle[^>]* cx="([\d.]+)"', plot)]
    assert np.allclose(np.diff(places), np.diff(places)[0], atol=0.11), "evenly spread as the values are"
    assert 0 < min(places) < max(places) < 360


def test_thousands_of_cases_stay_light():
    values = pd.Series(np.random.default_rng(0).normal(0.8, 0.02, MANY + 1))
    assert len(box_plot("Dice", {"run": values}, styles=["s0"])) < 25 * MANY


def test_nothing_defined_is_said():
    assert "undefined for every case" in box_plot("HD95", {"run": pd.Series({"a": np.nan})}, styles=["s0"])


def test_scales_have_round_numbers_and_hold_the_figures():
    for low, high in ((0.512, 0.987), (0, 1), (3, 1234), (0.0001, 0.0009), (0.5, 0.5), (0, 0)):
        scale = scale_for(low, high, 0, 100)
        assert scale.low <= low <= high <= scale.high
        assert 2 <= len(scale.ticks()) <= 12
        assert np.isclose(scale(scale.high), 100)
