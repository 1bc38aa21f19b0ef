import re

import numpy as np
import pandas as pd
import pytest
from study_folders import study_folder

from halfmask.evaluation.statistics.outcomes import unit_means
from halfmask.report.cells import Cell, cells, ranks
from halfmask.report.study import is_study, read_study
from halfmask.report.study_page import study_tables
from halfmask.report.tables import escaped

MEANS = {"supervised": [0.6, 0.7, 0.8], "a_b & 50%": [0.7, 0.75, 0.81], "mt|x": [0.65, 0.72, None], "gone": [None] * 3}
STATES = {"mt|x": ("failed", "out of memory"), "gone": ("missing", None)}


@pytest.fixture
def folder(tmp_path):
    reported = {"source": "A, Table 1", "metric": "dice", "rows": {"supervised": [0.5, None, 0.7]}}
    return study_folder(tmp_path / "study", MEANS, states=STATES, reported=reported)


def by_hand(folder, arm, budget, metric="dice"):
    """Mean and sd over patients by plain pandas: structures, then cases, then runs."""
    table = pd.read_csv(folder / "results.csv")
    rows = table[(table["arm"] == arm) & (table["budget"] == budget)]
    cases = rows.pivot_table(index=["group", "case", "run"], columns="structure", values=metric).mean(axis=1)
    patients = cases.groupby(["group", "run"]).mean().groupby("group").mean()
    return patients.mean(), patients.std(ddof=1)


def test_the_figures_are_those_of_plain_pandas_and_both_files_say_the_same(folder):
    made = study_tables(folder)
    mean, sd = by_hand(folder, "a_b & 50%", "6 labels")
    assert f"**{mean:.3f}** ★ ± {sd:.3f}" in made["table.md"]
    assert rf"\textbf{{{mean:.3f}}} $\pm$ {sd:.3f}" in made["table.tex"]
    mean, sd = by_hand(folder, "mt|x", "3 labels")
    assert f"<u>{mean:.3f}</u> ± {sd:.3f}" in made["table.md"]
    mean, sd = by_hand(folder, "supervised", "6 labels", "hd95")
    assert f"{mean:.2f} ± {sd:.2f}" in made["table.md"].split("HD95 (mm)")[1]
    assert "| supervised, reported | 0.500 | – | 0.700 |" in made["table.md"]


def test_what_was_not_run_is_said_with_the_reason(folder):
    text = study_tables(folder)["table.md"]
    rows = [line for line in text.splitlines() if line.startswith("| gone")]
    assert rows == ["| gone | not run | not run | not run |"] * 2
    assert "mt\\|x: failed: out of memory; gone: its method does not exist in this version" in text
    assert "2 runs behind each cell" in text


def test_arms_that_lack_figures_for_one_reason_share_it(tmp_path):
    text = study_tables(study_folder(tmp_path, {"s": [0.5, None], "x": [None] * 2}, budgets={"1": 1, "3": 3}))
    assert "Not run: s, x: still waiting." in text["table.md"] and "Not run: s, x: still waiting." in text["table.tex"]
    assert r"\label{tab:made-up-dice}" in text["table.tex"]


def test_latex_holds_together(folder):
    text = study_tables(folder)["table.tex"]
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 2
    depth = np.cumsum([{"{": 1, "}": -1}.get(c, 0) for c in re.sub(r"\\[{}]", "", text)])
    assert depth.min() >= 0 and depth[-1] == 0
    tabulars = re.findall(r"\\begin\{tabular\}\{(lr*)\}(.*?)\\end\{tabular\}", text, re.S)
    assert len(tabulars) == 2
    for columns, body in tabulars:
        rows = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert len(rows) >= 5
        assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {len(columns)}
    assert r"a\_b \& 50\%" in text and "★" not in text
    assert escaped("{a}\\^~#$<") == r"\{a\}\textbackslash{}\textasciicircum{}\textasciitilde{}\#\$\textless{}"


def test_only_whole_cells_are_ranked():
    cell = lambda mean, done=2: Cell(pd.Series([mean - 0.1, mean + 0.1]), 0, done, 2, ())
    column = {"a": cell(0.7), "b": cell(0.8), "c": cell(0.9, done=1), "d": cell(0.6)}
    assert ranks("dice", column) == ({"b"}, {"a"}), "c has half of its runs"
    assert ranks("hd95", column) == ({"d"}, {"a"})
    assert ranks("dice", {"a": cell(0.7), "b": cell(0.8)}) == ({"b"}, set()), "of two none is second"
    assert ranks("dice", {"a": cell(0.7), "b": cell(0.7)}) == (set(), set())


def test_undefined_figures_are_counted_and_left_out(tmp_path):
    folder = study_folder(tmp_path, {"supervised": [0.6], "x": [0.7]}, budgets={"3 labels": 3}, seeds=(0,))
    table = pd.read_csv(folder / "results.csv")
    hurt = (table["arm"] == "x") & (table["case"] == "p0c0") & (table["structure"] == "rim")
    table.loc[hurt, "hd95"] = np.nan
    table.to_csv(folder / "results.csv", index=False, na_rep="nan")
    found = cells(read_study(folder), "hd95")["x", "3 labels"]
    assert found.undefined == 1 and len(found.values) == 8
    assert found.values["p0"] == pytest.approx(table[(table["arm"] == "x") & (table["case"] == "p0c1")]["hd95"].mean())
    text = study_tables(folder)["table.md"]
    assert "(1 undefined)" in text and "a distance is undefined" in text.split("HD95 (mm)")[1]


@pytest.mark.parametrize("structure", [None, "rim"])
def test_cells_are_what_the_tests_are_made_on(folder, structure):
    study = read_study(folder)
    study.table.loc[::37, "hd95"] = np.nan
    for (arm, budget), cell in cells(study, "hd95", structure).items():
        found = unit_means(study.table, arm=arm, budget=budget, metric="hd95", structure=structure)
        pd.testing.assert_series_equal(cell.values, found, check_names=False, check_index_type=False)


def test_names_stay_text_and_broken_files_are_told(tmp_path):
    folder = study_folder(tmp_path / "s", {"007": [0.6]}, budgets={"NA": 3}, baseline=None)
    study = read_study(folder)
    assert is_study(folder) and not is_study(tmp_path)
    assert study.measured() == ["007"] and study.by_size() == ["NA"]
    text = (folder / "results.csv").read_text()
    (folder / "results.csv").write_text(text.replace(",dice,", ",iou,"))
    with pytest.raises(ValueError, match=r"results\.csv has no column dice"):
        read_study(folder)
    (folder / "study.json").write_text('{"format": 2}')
    with pytest.raises(ValueError, match=r"study\.json is not as `halfmask study` writes it .*format 2, this version"):
        read_study(folder)
