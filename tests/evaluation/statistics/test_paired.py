import numpy as np
import pandas as pd
import pytest
from outcome_table import row, study
from scipy import stats

from halfmask.evaluation.statistics.chance import holm
from halfmask.evaluation.statistics.paired import against, corrected, difference, paired_units

PAIR = {"arm": "x", "rival": "supervised", "budget": "3 labels"}


def drawn(units=14, draws=3, gain=0.03, seed=0):
    """A table in which x is better by about ``gain``, patients differ more than methods."""
    rng = np.random.default_rng(seed)
    patient = rng.normal(0.7, 0.1, (units, 1))
    noise = lambda: rng.normal(0, 0.01, (units, draws))
    return study({"supervised": patient + noise(), "x": patient + gain + noise()})


def test_it_is_paired_by_patient_and_draw():
    table = drawn()
    wide = table.pivot(index=["group", "draw"], columns="arm", values="dice")
    by_unit = (wide["x"] - wide["supervised"]).groupby("group").mean()
    found = difference(table, **PAIR)
    assert found.mean == pytest.approx(by_unit.mean())
    assert found.p == pytest.approx(stats.wilcoxon(by_unit).pvalue)
    assert (found.better, found.units, found.repetitions, found.runs) == ((by_unit > 0).sum(), 14, 3, 3)
    assert found.low < 0.03 < found.high and found.high - found.low < 0.02, "far less than patients differ"
    assert found.shown and found.unit == "patient"
    units = paired_units(table, **PAIR)
    assert (units["arm"] - units["rival"]).to_dict() == pytest.approx(by_unit.to_dict())


def test_the_rival_is_the_mirror_image_and_the_order_of_rows_is_nothing():
    table = drawn()
    ours, theirs = difference(table, **PAIR), difference(table, arm="supervised", rival="x", budget="3 labels")
    assert (theirs.mean, theirs.p, theirs.worse) == pytest.approx((-ours.mean, ours.p, ours.better))
    assert (theirs.low, theirs.high) == pytest.approx((-ours.high, -ours.low), abs=1e-3)
    assert difference(table.sample(frac=1, random_state=0), **PAIR) == ours


def test_of_distances_less_is_better():
    found = difference(drawn(), **PAIR, metric="hd95")
    assert found.mean < 0 < found.gain and found.better > found.worse and found.shown


def test_equal_arms_show_no_difference():
    table = drawn()
    same = pd.concat([table, table[table["arm"] == "x"].assign(arm="twin")])
    found = difference(same, arm="twin", rival="x", budget="3 labels")
    assert (found.mean, found.low, found.high, found.p, found.better, found.worse) == (0, 0, 0, 1, 0, 0)
    assert not found.shown


def test_what_only_one_of_the_two_has_is_left_out_and_counted():
    rows = [
        row(0.5), row(0.6, arm="x"), row(0.5, group="p1"), row(np.nan, arm="x", group="p1"),
        row(0.1, group="p2"), row(0.9, draw=1, seed=1),
    ]  # fmt: skip
    found = difference(pd.DataFrame(rows), **PAIR)
    assert found.mean == pytest.approx(0.1)
    assert (found.units, found.left_out, found.unpaired, found.runs) == (1, 2, 1, 1)
    assert found.p is None and np.isnan([found.low, found.high]).all() and not found.shown
    assert difference(pd.DataFrame(rows), arm="y", rival="x", budget="3 labels") is None
    assert paired_units(pd.DataFrame(rows), arm="y", rival="x", budget="3 labels").empty


def test_few_patients_claim_nothing():
    found = difference(study({"supervised": [0.5] * 5, "x": [0.7, 0.71, 0.72, 0.73, 0.74]}), **PAIR)
    assert found.p is None and found.low > 0 and not found.shown


def test_cases_of_one_patient_are_one_unit():
    rows = [row(0.5 + 0.1 * (arm == "x"), arm=arm, group=f"p{c // 4}", case=f"c{c}") for c in range(12)
            for arm in ("x", "supervised")]  # fmt: skip
    found = difference(pd.DataFrame(rows), **PAIR)
    assert (found.units, found.p) == (3, None)


def test_cross_validation_has_every_patient_once():
    rows = [row(0.5 + 0.1 * (arm == "x"), arm=arm, group=f"p{u}", fold=u % 5, draw=d) for u in range(10)
            for arm in ("x", "supervised") for d in range(2)]  # fmt: skip
    found = difference(pd.DataFrame(rows), **PAIR)
    assert (found.units, found.repetitions, found.runs) == (10, 2, 10)
    assert found.mean == pytest.approx(0.1) and found.low == pytest.approx(0.1)


def test_a_family_is_corrected_as_one():
    patient = np.random.default_rng(0).normal(0.7, 0.1, (14, 1))
    noise = np.random.default_rng(1).normal(0, 0.05, (3, 14, 1))
    table = study({"supervised": patient, **{f"m{k}": patient + 0.01 * k + noise[k] for k in range(3)}})
    few = study({"supervised": [0.5] * 3, "m0": [0.6] * 3}, labels=1)
    table = pd.concat([table, few])
    found = against(table, "supervised")
    assert [(d.budget, d.arm) for d in found] == [*(("3 labels", f"m{k}") for k in range(3)), ("1 labels", "m0")]
    raw = [difference(table, arm=d.arm, rival="supervised", budget=d.budget).p for d in found]
    assert [d.p for d in found[:3]] == pytest.approx(holm(raw[:3])), "the one too small for a test does not count"
    assert found[3].p is None and all(d.corrected for d in found)
    assert corrected([]) == [] and against(table, "absent") == []
