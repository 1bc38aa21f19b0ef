from dataclasses import replace

import pytest

from halfmask.evaluation.statistics.break_even import BreakEven, Next
from halfmask.evaluation.statistics.paired import Difference
from halfmask.evaluation.statistics.sentence import (
    amount,
    break_even_sentence,
    caveats,
    difference_sentence,
    next_sentence,
)

BETTER = Difference(
    "fixmatch", "supervised", "3 labels", "dice", None, mean=0.031, low=0.019, high=0.044, p=0.002, better=11, worse=3,
    units=14, unit="patient", repetitions=2, runs=2, unpaired=0, left_out=0, corrected=True,
)  # fmt: skip
EQUAL = BreakEven(
    "fixmatch", "supervised", "6 labels", "dice", None, "labels", x=6, equal=14.2, low=10.8, high=19.4, misfit=0.0,
    fewest=1.5, most=40, measured=(3, 20),
)  # fmt: skip
NEXT = Next(
    "fixmatch", "dice", None, "labels", x=7, then=14, gain=0.021, low=0.01, high=0.03, misfit=0.0, kind="power law"
)


def test_a_difference_that_is_shown():
    assert difference_sentence(BETTER) == (
        "fixmatch beats supervised by 3.1 Dice points [1.9, 4.4] with 3 labels, p = 0.002 (Holm), in 11 of 14 patients"
    )
    worse = replace(BETTER, mean=-0.031, low=-0.044, high=-0.019, better=3, worse=11, structure="LV", corrected=False)
    assert difference_sentence(worse) == (
        "supervised beats fixmatch by 3.1 Dice points [1.9, 4.4] on LV with 3 labels, p = 0.002, in 11 of 14 patients"
    )


def test_of_distances_the_lower_wins():
    lower = replace(BETTER, metric="hd95", mean=-2.1, low=-3.02, high=-0.9)
    assert difference_sentence(lower).startswith("fixmatch beats supervised by 2.10 mm HD95 [0.90, 3.02] with 3 labels")


@pytest.mark.parametrize(
    "change",
    [{"p": 0.41}, {"low": -0.001}, {"better": 3, "worse": 11}, {"p": None}],
    ids=["chance", "0 in the interval", "most patients the other way", "too few"],
)
def test_nothing_is_claimed_without_test_interval_and_patients(change):
    assert "beats" not in difference_sentence(replace(BETTER, **change))


def test_no_difference_shown():
    none = replace(BETTER, mean=0.004, low=-0.009, high=0.016, p=0.41)
    assert difference_sentence(none) == (
        "no difference shown between fixmatch and supervised with 3 labels: +0.4 Dice points [−0.9, 1.6], "
        "p = 0.41 (Holm)"
    )
    assert difference_sentence(replace(none, p=0.01)).endswith("[−0.9, 1.6], though p = 0.010 (Holm)")
    distance = difference_sentence(replace(none, metric="assd", mean=-0.4))
    assert "−0.40 mm ASSD [−0.01, 0.02] (lower is better)" in distance


def test_too_few_for_a_test():
    few = replace(BETTER, p=None, better=4, worse=0, units=4)
    assert difference_sentence(few) == (
        "fixmatch against supervised with 3 labels: +3.1 Dice points [1.9, 4.4], better in 4 of 4 patients; "
        "too few patients for a test"
    )
    one = replace(few, low=float("nan"), high=float("nan"), better=1, units=1, unit="case")
    assert difference_sentence(one).endswith("+3.1 Dice points, better in 1 of 1 case; too few cases for a test")


def test_caveats():
    assert caveats(replace(BETTER, repetitions=3)) == []
    assert caveats(BETTER)[0].startswith("each patient was measured twice")
    assert caveats(replace(BETTER, repetitions=1, unpaired=1, left_out=3)) == [
        "each patient was measured once, so other draws and seeds may differ",
        "left out: 1 run that only one of the two has",
        "left out: 3 results undefined or missing in one of the two",
    ]


def test_break_even():
    assert break_even_sentence(EQUAL) == "6 labels with fixmatch equal 14 labels supervised [11, 19]"
    assert break_even_sentence(replace(EQUAL, misfit=0.2)).endswith("[11, 19] (the fit is rough)")
    share = replace(EQUAL, budget="6 % of labels", equal=30)
    assert break_even_sentence(share) == (
        "6 % of labels (6) with fixmatch equal 30 labels supervised [11, 19] (extrapolated)"
    )
    more = replace(EQUAL, equal=40, high=40)
    assert break_even_sentence(more) == (
        "6 labels with fixmatch equal more than 40 labels supervised [11, more than 40]"
    )
    rounded = replace(more, equal=40 * (1 - 1e-15))
    assert break_even_sentence(rounded) == break_even_sentence(more), "not extrapolated as well"
    fewer = replace(EQUAL, fewest=0.5, equal=0.5, low=0.5, high=0.5)
    assert break_even_sentence(fewer) == "6 labels with fixmatch equal fewer than 1 label supervised"
    slices = replace(EQUAL, by="slices", budget="20 % of slices", x=0.2, equal=0.45, low=0.3, high=1, fewest=0.05,
                     most=1, measured=(0.1, 1))  # fmt: skip
    assert break_even_sentence(slices) == (
        "20 % of slices with fixmatch equal 45 % of slices supervised [30 %, at least 100 %]"
    )


def test_the_next_labels():
    assert next_sentence(NEXT) == (
        "7 → 14 labels would bring fixmatch about 2.1 Dice points [1.0, 3.0] (if the fitted curve holds)"
    )
    assert next_sentence(replace(NEXT, misfit=0.2)).endswith("(if the fitted curve holds, a rough fit)")
    told = next_sentence(replace(NEXT, metric="hd95", gain=1.5, low=0.5, high=2.0, kind="line", structure="LV"))
    assert told == (
        "7 → 14 labels would bring fixmatch about 1.50 mm HD95 less [0.50, 2.00] on LV (by a line through two budgets)"
    )


def test_amounts_have_their_unit_and_no_negative_zero():
    assert amount(-0.0001, "dice", signed=True) == "0.0 Dice points"
    assert amount(-0.02, "lesion_recall") == "−2.0 lesion recall points"
    assert amount(1.25, "volume_error_ml", signed=True) == "+1.25 ml volume error"
