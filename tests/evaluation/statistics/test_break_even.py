import numpy as np
import pandas as pd
import pytest
from outcome_table import curves, row, study

from halfmask.evaluation.statistics.break_even import break_even, next_labels
from halfmask.evaluation.statistics.learning import learning_curve

LAW = lambda n: 0.9 - 0.5 * n**-0.7
BUDGETS = [1, 3, 7, 14]
ASK = {"arm": "x", "baseline": "supervised", "budget": "3 labels"}


def test_an_arm_equal_to_the_baseline_needs_as_many_labels():
    found = break_even(curves({"supervised": LAW, "x": LAW}, BUDGETS), **ASK)
    assert (found.x, found.equal) == (3, pytest.approx(3, rel=1e-3))
    assert found.low == pytest.approx(3, rel=0.1) and found.high == pytest.approx(3, rel=0.1), "paired by patient"
    assert not found.extrapolated


def test_an_arm_worth_twice_the_labels():
    laws = {"supervised": LAW, "x": lambda n: LAW(2 * n)}
    found = break_even(curves(laws, BUDGETS, units=20, draws=3, noise=0.01), **ASK)
    assert found.equal == pytest.approx(6, rel=0.15) and found.low < 6 < found.high
    assert (found.fewest, found.most, found.measured) == (0.5, 28, (1, 14))
    further = break_even(curves(laws, BUDGETS), **{**ASK, "budget": "14 labels"})
    assert further.equal == pytest.approx(28, rel=1e-3) and further.extrapolated


def test_no_figure_is_made_up_beyond_what_was_measured():
    laws = {"supervised": LAW, "x": lambda n: 0.99, "y": lambda n: 0.0}
    table = curves(laws, BUDGETS)
    above, below = (break_even(table, **{**ASK, "arm": arm}) for arm in "xy")
    assert (above.low, above.equal, above.high) == pytest.approx((28, 28, 28))
    assert (below.low, below.equal, below.high) == pytest.approx((0.5, 0.5, 0.5))


def test_without_a_rising_curve_or_common_patients_there_is_none():
    assert break_even(curves({"supervised": LAW, "x": LAW}, [3]), **ASK) is None
    assert break_even(curves({"supervised": lambda n: 0.7, "x": LAW}, BUDGETS), **ASK) is None
    table = curves({"supervised": LAW, "x": LAW}, BUDGETS)
    assert break_even(table, **{**ASK, "arm": "absent"}) is None
    ours = table["arm"] == "x"
    assert break_even(table.assign(group=table["group"].where(~ours, "q" + table["group"])), **ASK) is None


def test_a_curve_that_does_not_fit_says_so():
    bent = lambda n: 0.3 + 0.04 * n
    table = curves({"supervised": bent, "x": bent}, BUDGETS)
    assert break_even(table, **ASK).misfit > 0.1 and learning_curve(table, arm="x").misfit > 0.1
    assert break_even(curves({"supervised": LAW, "x": bent}, BUDGETS), **ASK).misfit < 1e-3


def test_the_next_labels_bring_what_the_law_says():
    found = next_labels(learning_curve(curves({"x": LAW}, BUDGETS), arm="x"))
    assert (found.x, found.then, found.kind) == (14, 28, "power law")
    assert found.gain == pytest.approx(LAW(28) - LAW(14), abs=1e-4)
    assert found.low <= found.gain <= found.high and found.misfit < 1e-3
    less = next_labels(learning_curve(curves({"x": LAW}, BUDGETS), arm="x", metric="hd95"))
    assert less.gain == pytest.approx(10 * found.gain, rel=1e-2), "positive is better"
    assert next_labels(learning_curve(study({"x": [0.5, 0.6]}), arm="x")) is None


def test_there_are_no_more_slices_than_all():
    rows = [row(0.8 - 0.1 * s**-0.5 + 0.01 * u, slices=s, group=f"p{u}") for s in (0.1, 0.5, 1.0) for u in range(3)]
    curve = learning_curve(pd.DataFrame(rows), arm="supervised", by="slices")
    assert next_labels(curve) is None
    part = pd.DataFrame([r for r in rows if r["slices"] < 1])
    assert next_labels(learning_curve(part, arm="supervised", by="slices")).then == 1
    found = break_even(
        pd.DataFrame(rows), arm="supervised", baseline="supervised", budget="50 % of slices", by="slices"
    )
    assert found.equal == pytest.approx(0.5, rel=0.02) and found.most == 1 and np.isfinite(found.low)
