"""What is told first of a study."""

from dataclasses import replace

import pytest
from study_folders import study_folder

from halfmask.evaluation.statistics.paired import against
from halfmask.report.headline import headline
from halfmask.report.study import read_study

TWO = {"3 labels": 3, "6 labels": 6}


def told(study):
    return headline(study, [] if study.baseline is None else against(study.table, study.baseline))


def changed(study, table):
    return replace(study, table=table.reset_index(drop=True))


def test_a_gain_that_is_shown_comes_before_a_larger_one_that_is_not(tmp_path):
    study = read_study(study_folder(tmp_path, {"s": [0.5], "sure": [0.55], "lucky": [0.5]}, budgets={"3 labels": 3}))
    table = study.table.copy()
    table.loc[(table["arm"] == "lucky") & (table["group"] == "p0"), "dice"] += 0.49
    found = told(changed(study, table))
    assert found.differences[0].startswith("sure beats s by ")
    assert any("the best of 2 arms is told" in said for said in found.caveats)


def test_labels_saved_stand_with_the_difference_and_what_is_worse_is_told(tmp_path):
    means = {"s": [0.5, 0.6], "good": [0.55, 0.62], "bad": [0.4, 0.5]}
    found = told(read_study(study_folder(tmp_path, means, budgets=TWO)))
    assert "good beats s" in found.differences[0] and "3 labels with good equal" in found.differences[0]
    assert found.differences[2] == "Shown to be worse than s: bad with 3 labels, 6 labels."
    assert all("would bring" in said for said in found.labels) and len(found.labels) == 2


def test_budgets_of_slices_have_their_curve_though_folds_have_unequal_labels(tmp_path):
    budgets = {"10 % of slices": 3, "50 % of slices": 3}
    study = read_study(study_folder(tmp_path, {"s": [0.5, 0.6], "x": [0.55, 0.62]}, budgets=budgets))
    table = study.table.copy()
    table["slices"] = table["budget"].map({"10 % of slices": 0.1, "50 % of slices": 0.5}).astype(float)
    table["fold"] = table["group"].str[1:].astype(int) % 2
    table["labels"] = 13 + table["fold"]
    assert "10 % of slices with x equal" in told(changed(study, table)).text()


@pytest.mark.parametrize("baseline", ["a", None])
def test_arms_without_a_seed_in_common_are_not_compared(tmp_path, baseline):
    study = read_study(study_folder(tmp_path, {"a": [0.5], "b": [0.6]}, budgets={"3 labels": 3}, baseline=baseline))
    table = study.table[(study.table["arm"] == "a") == (study.table["seed"] == 0)]
    assert "No two arms have runs of the same fold, draw and seed" in told(changed(study, table)).text()


def test_no_figure_is_claimed_of_one_patient(tmp_path):
    study = read_study(study_folder(tmp_path, {"a": [0.5], "b": [0.6]}, budgets={"3 labels": 3}, patients=1))
    text = told(study).text()
    assert "too few patients for a test" in text and "nan" not in text


def test_a_caveat_of_some_budgets_names_them(tmp_path):
    study = read_study(study_folder(tmp_path, {"a": [0.5, 0.6], "b": [0.6, 0.7]}, budgets=TWO, seeds=(0, 1, 2)))
    table = study.table[(study.table["budget"] == "3 labels") | (study.table["seed"] == 0)]
    found = told(changed(study, table)).caveats
    assert found[0] == "With 6 labels: each patient was measured once, so other draws and seeds may differ."


def test_too_few_patients_for_so_many_comparisons_are_told(tmp_path):
    means = {"s": [0.5, 0.6], **{f"m{k}": [0.7, 0.8] for k in range(4)}}
    found = told(read_study(study_folder(tmp_path, means, budgets=TWO, patients=8)))
    assert "no difference shown" in found.text().lower()
    assert any("With 8 patients and 8 comparisons no p can be below 0.06" in said for said in found.caveats)


def test_labels_that_brought_nothing_are_not_extrapolated(tmp_path):
    means = {"s": [0.8, 0.7, 0.6], "x": [0.9, 0.6, 0.5]}
    assert not told(read_study(study_folder(tmp_path, means))).labels
