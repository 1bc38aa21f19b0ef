import pandas as pd
from entries import entry

from halfmask.report.figures import best_of, decimals, figures_section


def row(mean, undefined=0):
    return {"mean": mean, "sd": 0.1, "undefined": undefined}


def test_the_best_is_the_highest_overlap_and_the_lowest_distance():
    assert best_of("dice", {"a": row(0.8), "b": row(0.9)}) == {"b"}
    assert best_of("hd95", {"a": row(8.0), "b": row(9.0)}) == {"a"}
    assert best_of("dice", {"a": row(0.80004), "b": row(0.80001)}) == {"a", "b"}, "both are shown as 0.800"
    assert best_of("dice", {"a": row(0.8)}) == set(), "alone, nothing is best"
    assert best_of("volume_error", {"a": row(0.1), "b": row(-0.2)}) == set()


def test_undefined_cases_do_not_win():
    assert best_of("hd95", {"empty masks": row(1.0, undefined=3), "honest": row(9.0)}) == {"honest"}
    assert best_of("hd95", {"a": row(float("nan"), 5), "b": row(float("nan"), 5)}) == set()


def test_runs_are_measured_on_the_cases_they_share():
    page = figures_section([entry("x", [0.5, 0.7, 0.1]), entry("y", [0.5, 0.5])])
    assert "over the 2 cases that all runs have; 1 were left out" in page
    assert "<strong>" in page and "0.600</strong>" in page
    other = entry("z", [0.9])
    other.table["case"] = "elsewhere"
    page = figures_section([entry("x", [0.5]), other])
    assert "no case in common" in page
    assert "<strong>" not in page


def test_undefined_is_counted_where_it_stands():
    hurt = entry("x", [0.5, 0.0])
    hurt.table["hd95"] = [3.0, float("nan")]
    assert "(1 undefined)" in figures_section([hurt])
    hurt.table["hd95"] = float("nan")
    assert "undefined (2)" in figures_section([hurt])


def test_names_are_escaped():
    assert "<img" not in figures_section([entry("<img src=x>", [0.5], structures=("<img>", "b"))])


def test_digits_fit_the_figure():
    assert [decimals("dice", 0.5), decimals("hd95", 5), decimals("hd95", 50), decimals("volume_error_ml", 5e3)] == [
        3, 2, 1, 0,
    ]  # fmt: skip
    assert isinstance(entry("x", [0.5]).dice(), pd.Series)
