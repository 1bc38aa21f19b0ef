import math

import numpy as np
import pandas as pd
import pytest

from halfmask.evaluation import table as tables
from halfmask.evaluation.table import read, render, summary, tabulate, write

NAN = math.nan


@pytest.fixture
def table():
    return tabulate(
        {
            "007": {"liver": {"dice": 0.9, "hd95": 2.0}, "[red] tumor": {"dice": 0.5, "hd95": 4.0}},
            "NA": {"liver": {"dice": 0.7, "hd95": 6.0}, "[red] tumor": {"dice": 0.0, "hd95": NAN}},
            "c": {"liver": {"dice": 0.8, "hd95": 1.0}, "[red] tumor": {"dice": 0.1, "hd95": 1 / 3}},
        }
    )


def row(summed, structure, metric):
    (found,) = summed[(summed["structure"] == structure) & (summed["metric"] == metric)].to_dict("records")
    return found


def test_summary_counts_what_is_undefined(table):
    summed = summary(table)
    assert list(summed["structure"].unique()) == ["liver", "[red] tumor", "mean"]
    liver = row(summed, "liver", "dice")
    assert (liver["mean"], liver["sd"]) == pytest.approx((0.8, 0.1))
    assert (liver["n"], liver["undefined"]) == (3, 0)
    tumor = row(summed, "[red] tumor", "hd95")
    assert tumor["mean"] == pytest.approx(13 / 6)
    assert (tumor["n"], tumor["undefined"]) == (2, 1)


def test_the_mean_is_of_cases_first(table):
    summed = summary(table)
    dice = row(summed, "mean", "dice")
    cases = [0.7, 0.35, 0.45]
    assert (dice["mean"], dice["sd"]) == pytest.approx((np.mean(cases), np.std(cases, ddof=1)))
    distance = row(summed, "mean", "hd95")
    assert distance["mean"] == pytest.approx((3 + 2 / 3) / 2), "the case with the lost tumor has no mean distance"
    assert (distance["n"], distance["undefined"]) == (2, 1)


def test_a_missing_row_is_undefined_too(table):
    summed = summary(table.drop(index=1))
    for structure in ("[red] tumor", "mean"):
        assert row(summed, structure, "dice")["undefined"] == 1


def test_one_case_has_no_deviation_and_none_no_mean(table):
    summed = summary(table[table["case"] == "NA"])
    assert math.isnan(row(summed, "liver", "dice")["sd"])
    assert math.isnan(row(summed, "mean", "hd95")["mean"])
    assert "–  (1 undefined)" in render(summed)


def test_faulty_tables_are_refused(table):
    with pytest.raises(ValueError, match="'007', structure 'liver' more than once"):
        summary(pd.concat([table, table.head(1)]))
    with pytest.raises(ValueError, match="is called 'mean'"):
        summary(table.replace("liver", "mean"))


def test_a_written_table_reads_the_same(table, tmp_path):
    for part in (table, table.head(2)):  # all names of the part are numbers
        write(part, tmp_path / "new" / "table.csv")
        pd.testing.assert_frame_equal(read(tmp_path / "new" / "table.csv"), part)


def test_a_failed_write_leaves_the_old_table_and_nothing_else(table, tmp_path, monkeypatch):
    write(table, tmp_path / "table.csv")

    def fail(self, path, **options):
        path.write_text("half a ta")
        raise OSError("no space left")

    monkeypatch.setattr(tables.pd.DataFrame, "to_csv", fail)
    with pytest.raises(OSError, match="no space"):
        write(table.head(1), tmp_path / "table.csv")
    assert [p.name for p in tmp_path.iterdir()] == ["table.csv"]
    assert len(read(tmp_path / "table.csv")) == len(table)


def test_a_terminal_shows_aligned_plain_text(table, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    text = render(summary(table))
    header, _, *rows = text.splitlines()
    assert header.split() == ["dice", "hd95", "(mm)"]
    assert [line[2:14].strip() for line in rows] == ["liver", "[red] tumor", "mean"]
    assert "0.200 ± 0.265" in rows[1]
    assert rows[1].endswith("2.167 ± 2.593  (1 undefined)")
    places = {tuple(i for i, c in enumerate(line) if c == "±") for line in rows}
    assert len(places) == 1
    assert "\x1b" not in text


def test_the_longer_side_goes_down(table):
    few_structures = render(summary(table[table["structure"] == "liver"]))
    few_metrics = render(summary(table), ["dice"])
    assert few_structures.splitlines()[0].split() == ["liver", "mean"]
    assert few_metrics.splitlines()[0].split() == ["dice"]
