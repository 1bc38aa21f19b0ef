import numpy as np
import pandas as pd
import pytest
from outcome_table import study

from halfmask.evaluation.statistics.gap import closed
from halfmask.evaluation.statistics.sentence import closed_sentence

THREE = {"arm": "adapted", "baseline": "source", "ceiling": "target", "budget": "3 labels"}


def dice(means, units=10, draws=3, noise=0.02, seed=0):
    """(units, draws) Dice of each arm: easy and hard patients, the same for all, and noise."""
    rng = np.random.default_rng(seed)
    patient = rng.normal(0, 0.05, (units, 1))
    return {arm: mean + patient + rng.normal(0, noise, (units, draws)) for arm, mean in means.items()}


def test_share_and_interval_are_those_of_plain_loops():
    made = dice({"source": 0.5, "adapted": 0.62, "target": 0.7})
    made["adapted"][0, 1] = np.nan  # undefined in one of the three: left out of all
    found = closed(study(made), **THREE)
    there = ~np.isnan(made["adapted"])

    def share(units, draws):
        """Of means over units, each the mean of its draws."""
        means = {}
        for arm, values in made.items():
            by_unit = [np.mean(kept) for u in units if len(kept := [values[u, d] for d in draws if there[u, d]])]
            means[arm] = np.mean(by_unit)
        return (means["adapted"] - means["source"]) / (means["target"] - means["source"])

    assert found.share == pytest.approx(share(range(10), range(3)))
    assert found.each.tolist() == pytest.approx([share(range(10), [d]) for d in range(3)])
    assert found.each.index.tolist() == [("0", "0"), ("1", "1"), ("2", "2")]
    rng = np.random.default_rng(1)
    loops = [share(rng.integers(10, size=10), rng.integers(3, size=3)) for _ in range(3000)]
    assert (found.low, found.high) == pytest.approx(np.quantile(loops, [0.013, 0.987]), abs=0.02)
    assert found.low < found.share < found.high and found.units == 10 and found.unit == "patient"


def test_only_runs_and_cases_of_all_three_count():
    made = dice({"source": 0.5, "adapted": 0.62, "target": 0.7})
    table = study(made)
    lost = (table["arm"] == "target") & ((table["seed"] == 2) | (table["group"] == "p9"))
    fewer = closed(table[~lost], **THREE)
    kept = closed(study({arm: values[:9, :2] for arm, values in made.items()}), **THREE)
    pd.testing.assert_series_equal(fewer.each, kept.each)
    assert (fewer.share, fewer.gap, fewer.units) == pytest.approx((kept.share, kept.gap, 9))
    assert closed(table[table["arm"] != "target"], **THREE) is None


def test_the_ends_of_the_gap_and_beyond():
    made = dice({"source": 0.5, "target": 0.7})
    for adapted, share in ((made["source"], 0), (made["target"], 1), (2 * made["target"] - made["source"], 2)):
        found = closed(study({**made, "adapted": adapted}), **THREE)
        assert (found.share, found.low, found.high) == pytest.approx((share, share, share))


def test_of_distances_the_gap_is_how_much_lower_the_ceiling_is():
    table = study(dice({"source": 0.5, "adapted": 0.62, "target": 0.7}))  # HD95 is 10 (1 − Dice)
    found, lower = closed(table, **THREE), closed(table, **THREE, metric="hd95")
    assert lower.gap == pytest.approx(10 * found.gap)
    assert (lower.gap_low, lower.gap_high) == pytest.approx((10 * found.gap_low, 10 * found.gap_high))
    assert (lower.share, lower.low, lower.high) == pytest.approx((found.share, found.low, found.high))


@pytest.mark.parametrize(
    ("means", "told"),
    [
        ({"source": 0.7, "target": 0.7, "adapted": 0.8}, {"noise": 0.05}),
        ({"source": 0.7, "target": 0.5, "adapted": 0.6}, {}),
        ({"source": 0.7, "target": 0.705, "adapted": 0.704}, {"noise": 1e-5}),
        ({"source": 0.5, "target": 0.7, "adapted": 0.6}, {"units": 1}),
    ],
    ids=["chance", "the ceiling is worse", "half a point", "one patient"],
)
def test_without_a_gap_there_is_no_share(means, told):
    found = closed(study(dice(means, **told)), **THREE)
    assert not found.there and np.isnan([found.share, found.low, found.high]).all()
    assert closed_sentence(found).startswith("no gap between source and target is shown with 3 labels that could be")


def test_the_sentence():
    found = closed(study(dice({"source": 0.5, "adapted": 0.6, "target": 0.7}, noise=0)), **THREE)
    assert closed_sentence(found) == (
        "adapted closes 50 % [50, 50] of the gap between source and target with 3 labels, which is 20.0 Dice points "
        "[20.0, 20.0]"
    )
