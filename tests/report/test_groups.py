import pytest
from entries import entry, spread
from scipy import stats

from halfmask.evaluation.statistics.chance import holm
from halfmask.report.groups import against_supervised, contrast, grouped


def test_draws_of_one_setup_are_a_group_and_other_settings_are_another():
    runs = [
        entry("a", [0.5], method="fixmatch"),
        entry("b", [0.7], method="fixmatch", seed=1, labeled_cases=["x"]),
        entry("c", [0.7], method="fixmatch", labels=6),
    ]
    groups = grouped(runs)
    assert [g.title for g in groups] == ["fixmatch (labels 3)", "fixmatch (labels 6)"]
    assert groups[0].dice()["a"] == pytest.approx(0.6), "a case's Dice is the mean over the draws"


def test_draws_of_labels_with_one_seed_are_told_apart_and_paired():
    """A run of before there were draws has its seed's."""
    runs = [entry(f"{m}{d}", [0.5 + d / 10], method=m, draw=d) for m in ("f", "supervised") for d in (0, 1)]
    ours, rival = grouped(runs)
    assert len(ours.draws()) == 2
    assert contrast(ours, rival).seeds == (0, 0)
    old = grouped([entry("o", [0.5], method="supervised")])[0]
    assert len(contrast(ours, old).seeds) == 1


def test_a_contrast_is_over_the_same_draws_and_cases():
    ours = grouped([entry("f", [0.8, 0.9, 0.7], method="f"), entry("g", [0.0] * 3, method="f", seed=1)])[0]
    rival = grouped([entry("s", [0.7, 0.95], method="supervised")])[0]
    found = contrast(ours, rival)
    assert (found.cases, found.better, found.seeds) == (2, 1, (0,)), "seed 1 and case c have no partner"
    assert found.points == pytest.approx(100 * (0.85 - 0.825))
    assert found.p is None, "two cases are too few"
    assert found.caveats == ("1 cases that only one of the two has were left out",)
    other = grouped([entry("s", [0.7, 0.95], method="supervised", seed=2)])[0]
    assert contrast(ours, other) is None


def test_p_is_that_of_scipy_and_is_corrected():
    dice = {"supervised": spread(0.7), "x": spread(0.72, seed=1), "y": spread(0.71, seed=2)}
    found = against_supervised(grouped([entry(name, values) for name, values in dice.items()]))
    raw = [stats.wilcoxon(dice[n] - dice["supervised"]).pvalue for n in "xy"]
    assert [c.p for c in found] == pytest.approx(holm(raw))


def test_only_equal_labels_are_compared_with_supervised():
    runs = [entry("supervised", spread(0.7), labels=3), entry("fixmatch", spread(0.8), labels=6)]
    assert against_supervised(grouped(runs)) == []
