"""The page and the tables on a study of classifiers."""

import html
import json
import re

import numpy as np
import pandas as pd
import pytest
from class_folders import class_study
from test_classification_page import text_of, well_made

from halfmask import verbs
from halfmask.evaluation.statistics.seeds import interval
from halfmask.report.cells import cells
from halfmask.report.class_differences import against_baseline
from halfmask.report.sealed import seen_labels
from halfmask.report.study import read_study
from halfmask.report.study_page import study_page, study_tables

SKILLS = {"supervised": [0.8, 1.2], "fix<b>match": [1.8, 2.2], "mt": [0.8, None]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    reported = {"source": "Table 2", "metric": "recall", "rows": {"supervised": [0.61, None]}}
    return class_study(tmp_path_factory.mktemp("study"), SKILLS, pictures=True, reported=reported)


@pytest.fixture(scope="module")
def made(folder):
    return study_page(folder)


def test_the_page_is_well_made_and_whole(made):
    well_made(made.html)
    told = text_of(made.html)
    for part in ("Does it help?", "Measured on the 60 cases of the test part", "Looked up in 15 runs: none had a label",
                 "Recall, mean of classes", "AUC of each class", "[0.610]", "AUC over the number of labels",
                 "Against supervised", "One run of each arm", "ROC, mean of classes", "Rows are what the cases are",
                 "Pointing game", "still waiting", "15 runs took 15 min 0 s together"):  # fmt: skip
        assert part in told, part
    assert "<b>match" not in made.html
    assert made.summary.startswith("With 10 labels fix<b>match has the highest mean AUC")
    assert "3 of 18 runs have no figures yet" in made.summary


def test_cells_and_differences_are_those_of_the_runs(folder):
    study = read_study(folder)
    table = pd.read_csv(folder / "results.csv")
    mean = table[table["structure"] == "mean"]
    values = lambda arm, metric: mean[(mean["arm"] == arm) & (mean["budget"] == "10 labels")][metric].to_numpy()
    for metric in ("auc", "ece"):
        cell, expected = cells(study, metric)["fix<b>match", "10 labels"], interval(values("fix<b>match", metric))
        assert (cell.mean, cell.spread) == pytest.approx(expected) and cell.whole
    found = against_baseline(study, "auc")
    expected = interval(values("fix<b>match", "auc") - values("supervised", "auc"))
    assert found["fix<b>match", "10 labels"].over == pytest.approx(expected) and found["fix<b>match", "10 labels"].shown
    assert ("mt", "20 labels") not in found
    benign = cells(study, "auc", "benign")["mt", "10 labels"]
    rows = table[(table["arm"] == "mt") & (table["structure"] == "benign")]
    assert benign.mean == pytest.approx(rows["auc"].mean())
    assert study.structures == ["benign", "malignant", "normal"]


def test_tables_have_the_same_figures(folder):
    made = study_tables(folder)
    cell = cells(read_study(folder), "recall")["fix<b>match", "10 labels"]
    assert f"**{cell.mean:.3f}** ★ ± {cell.spread:.3f}" in made["table.md"]
    assert made["table.md"].startswith("## made up: recall") and "## made up: AUC" in made["table.md"]
    assert "the balanced accuracy" in made["table.md"] and "fix&lt;b>match" in made["table.md"]
    assert rf"\textbf{{{cell.mean:.3f}}} $\pm$ {cell.spread:.3f}" in made["table.tex"]
    assert "not run" in made["table.tex"] and "supervised, reported" in made["table.tex"]


def test_the_lowest_error_is_the_best(folder, made):
    part = html.unescape(made.html).split("<h3>ECE</h3>")[1].split("</table>")[0]
    starred = re.search(r'row">([^<]*)<[^★]*★[^★]*?(\d\.\d+)', part)
    figures = [float(x) for x in re.findall(r"(?<=>)(\d\.\d{3})(?=<)", part)]
    means = [cell.mean for (_, b), cell in cells(read_study(folder), "ece").items() if b == "10 labels"]
    assert float(starred.group(2)) == pytest.approx(min(means), abs=5e-4) and figures


def test_one_seed_shows_nothing(tmp_path):
    class_study(tmp_path / "study", {"a": [0.5, 1.0], "b": [2.5, 3.0]}, seeds=(4,))
    verbs.report([tmp_path / "study"], out=tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    well_made(page)
    told = text_of(page)
    assert "One seed each, so without an interval" in told and "not shown: one seed" in told and "†" not in told.split(
        "† and a tint")[0]  # fmt: skip
    assert "**" in (tmp_path / "table.md").read_text() and "±" not in (tmp_path / "table.md").read_text()


def test_folds_of_a_seed_are_averaged(tmp_path):
    folder = class_study(tmp_path / "study", {"a": [0.5, 1.0], "b": [2.5, 3.0]}, seeds=(0, 1))
    table = pd.read_csv(folder / "results.csv")
    again = table.assign(fold=1, auc=table["auc"] - 0.1)
    pd.concat([table, again]).to_csv(folder / "results.csv", index=False, na_rep="nan")
    cell = cells(read_study(folder), "auc")["a", "10 labels"]
    rows = table[(table["arm"] == "a") & (table["budget"] == "10 labels") & (table["structure"] == "mean")]
    assert len(cell.values) == 2 and cell.mean == pytest.approx(rows["auc"].mean() - 0.05)
    assert against_baseline(read_study(folder), "auc")["b", "10 labels"].draws == 2


def test_several_labels_and_an_unfinished_study(tmp_path):
    page = study_page(class_study(tmp_path / "labels", {"a": [0.5, 1.0], "b": [1.5, 2.0]}, multi_label=True))
    well_made(page.html)
    assert "Rows are what the cases are" not in text_of(page.html)
    page = study_page(class_study(tmp_path / "begun", {"a": [None, None], "b": [None, None]}))
    well_made(page.html)
    assert page.summary.startswith("Nothing was measured yet: of 12 runs 12 waiting")
    made = study_tables(tmp_path / "begun")
    assert "not run" in made["table.md"]


def test_a_run_that_saw_what_measured_it_is_told(tmp_path):
    folder = class_study(tmp_path / "study", {"a": [0.5, 1.0]}, seeds=(0,))
    result = folder / "runs" / "0-10-0" / "result.json"
    result.write_text(json.dumps({**json.loads(result.read_text()), "labeled": ["case3", "train1"]}))
    leaks, checked = seen_labels(read_study(folder))
    assert leaks == {"0-10-0": ["case3"]} and checked == 2
    assert "trained on the label of case3" in study_page(folder).html


def test_an_undefined_class_is_undefined_not_zero(tmp_path):
    folder = class_study(tmp_path / "study", {"a": [0.5, 1.0], "b": [1.0, 2.0]})
    table = pd.read_csv(folder / "results.csv")
    table.loc[table["structure"] == "normal", "auc"] = np.nan
    table.to_csv(folder / "results.csv", index=False, na_rep="nan")
    told = text_of(study_page(folder).html)
    assert "AUC, normal" not in told, "a class without any figure has no table"
    cell = cells(read_study(folder), "auc", "normal")["a", "10 labels"]
    assert cell.values.empty and cell.undefined == 3


def test_a_strange_task_is_refused(tmp_path):
    folder = class_study(tmp_path / "study", {"a": [None, None]}, task="detection")
    with pytest.raises(ValueError, match="task detection, this version reports on segmentation and classification"):
        study_page(folder)
