"""The page on a study, whole or in part."""

import html
import itertools
import json
import re
from types import SimpleNamespace

import nibabel
import numpy as np
import pandas as pd
import pytest
from study_folders import study_folder
from test_page import Reader

from halfmask.evaluation import note
from halfmask.report import sealed
from halfmask.report.disagreement import widest
from halfmask.report.sealed import seen_labels
from halfmask.report.study import read_study
from halfmask.report.study_page import study_page

MEANS = {"supervised": [0.6, 0.7, 0.8], "fix<b>match": [0.7, 0.75, 0.81], "mt": [0.65, 0.7, None], "gone": [None] * 3}
STATES = {"mt": ("failed", "out of <memory>"), "gone": ("missing", None)}


def text_of(page):
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", page.html)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return study_folder(tmp_path_factory.mktemp("study"), MEANS, states=STATES)


@pytest.fixture(scope="module")
def made(folder):
    return study_page(folder)


def test_the_page_stands_alone_and_is_well_made(made):
    found = Reader(made.html)
    assert len(found.ids) == len(set(found.ids))
    assert all(link.startswith(("#", "data:image/")) for link in found.links)
    assert {link[1:] for link in found.links if link.startswith("#")} <= set(found.ids)
    assert not re.search(r"https?:|@import|url\(|<script|<b>|<memory>", made.html)
    levels = [int(tag[1]) for tag, _ in found.tags if re.fullmatch(r"h\d", tag)]
    assert levels.count(1) == 1 and all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert len(re.findall(r'<svg[^>]*role="img"', made.html)) == len(re.findall(r"<svg[^>]*><title>", made.html)) > 6


def test_it_says_what_was_found_and_what_was_not(made):
    told = text_of(made)
    assert made.summary.startswith("fix<b>match beats supervised by ")
    assert "8 of 24 runs have no figures" in made.summary
    for part in ("Does it help?", "Sealed test", "Measured on the 16 cases of 8 patients of the test part, sealed",
                 "Looked up in 16 runs: none had a label", "failed: out of <memory>",
                 "its method does not exist in this version", "Label efficiency", "0123456789abcdef", "recipe:",
                 "16 runs took 16 min 0 s together"):  # fmt: skip
        assert part in told, part
    assert made.missing == ["mt-12-0: out of <memory>", "mt-12-1: out of <memory>"]
    assert "smoke" not in told
    first = re.search(r"<tbody>(.*?)</tbody>", made.html, re.S).group(1)
    rows = {html.unescape(re.search(r'row">(.*?)<', row).group(1)): row for row in first.split("</tr>") if row}
    assert rows["fix<b>match"].count("★") == 3 and rows["fix<b>match"].count("†") >= 1
    assert rows["supervised"].count("<u>") == 0 and rows["gone"].count("not run") == 3


def test_what_the_matrix_says_one_way_it_denies_the_other(made):
    signs = re.findall(r'title="(.*?) minus (.*?): ([+−0])', made.html)
    found = {(html.unescape(a), html.unescape(b)): sign for a, b, sign in signs[:6]}
    assert found["fix<b>match", "supervised"] == "+" and found["supervised", "fix<b>match"] == "−"


@pytest.mark.parametrize(
    ("means", "told", "absent"),
    [
        ({"a": [None] * 3, "b": [None] * 3}, "Nothing was measured yet: of 12 runs 12 waiting", "Label efficiency"),
        ({"a": [0.5, 0.6, None]}, "There is no other arm with figures", "Every arm against every other"),
        ({"a": [0.5, None, None], "b": [0.6, None, None]}, "b beats a by", "Label efficiency"),
        ({"a": [None, None, 0.5], "b": [0.6, None, None]}, "There is no other arm with figures", "Against a"),
    ],
)
def test_parts_of_a_study_make_a_page(tmp_path, means, told, absent):
    made = study_page(study_folder(tmp_path, means))
    Reader(made.html)
    assert told in made.summary
    assert absent not in re.sub(r"<p.*?</p>", "", made.html, flags=re.S)


def test_half_of_the_runs(tmp_path):
    folder = study_folder(tmp_path, {"a": [0.5, 0.6, 0.7], "b": [0.6, 0.7, 0.8]})
    table = pd.read_csv(folder / "results.csv")
    table = table[~((table["arm"] == "b") & (table["seed"] == 1))]
    table.to_csv(folder / "results.csv", index=False)
    manifest = json.loads((folder / "study.json").read_text())
    for run in manifest["runs"]:
        run["state"] = "running" if run["arm"] == "b" and run["seed"] == 1 else "done"
    (folder / "study.json").write_text(json.dumps(manifest))
    told = text_of(study_page(folder))
    assert "1 of 2 runs" in told and "are not ranked" in told
    assert "★" not in told


def test_no_baseline_compares_the_best_with_the_next(tmp_path):
    made = study_page(study_folder(tmp_path, {"a": [0.5], "b": [0.7], "c": [0.6]}, budgets={"x": 3}, baseline=None))
    assert made.summary.startswith("b beats c by")
    assert "Against" not in re.findall(r"<h2[^>]*>(.*?)<", made.html)


def test_times_are_of_runs_that_are_done_and_budgets_stand_in_order(tmp_path):
    folder = study_folder(tmp_path, {"a": [0.5, 0.6, 0.7], "b": [None, 0.7, None]}, seeds=(0,))
    manifest = json.loads((folder / "study.json").read_text())
    manifest["runs"].reverse()
    manifest["runs"][0]["seconds"] = 5000.0  # of a run that was stopped
    (folder / "study.json").write_text(json.dumps(manifest))
    told = text_of(study_page(folder))
    assert "3 labels; 12 labels 2 still waiting" in told
    assert "4 runs took 4 min 0 s together" in told and "Pre-training Steps" not in told


def test_each_pretraining_has_its_time(tmp_path):
    folder = study_folder(tmp_path, {"a": [0.5]}, budgets={"x": 3}, seeds=(0,))
    (folder / "pretrained" / "moco_v2").mkdir(parents=True)
    (folder / "pretrained" / "moco_v2" / "result.json").write_text('{"seconds": 7300, "steps": 50}')
    assert re.search(r"moco_ ?v2 50 2 h 1 min", text_of(study_page(folder)))


def test_box_plots_of_all_budgets_have_one_scale(made):
    plots = re.findall(r"<svg[^>]*><title>Dice, .*?</svg>", made.html, re.S)
    ticks = [re.findall(r'<text x="[\d.]+" y="[\d.]+" class="tick [a-z]+">([\d.]+)<', plot) for plot in plots]
    assert len(ticks) == 3 and ticks[0] == ticks[1] == ticks[2]


def test_spread_with_one_source_is_left_out(tmp_path, made):
    assert "Spread over patients" in made.html
    one = study_page(study_folder(tmp_path, {"a": [0.5], "b": [0.6]}, budgets={"x": 3}, seeds=(0,)))
    assert "Spread over" not in one.html


def test_smoke_cross_validation_and_slices(tmp_path):
    budgets = {"10 % of slices": 3, "50 % of slices": 3}
    folder = study_folder(tmp_path, {"a": [0.5, 0.6], "b": [0.6, 0.7]}, budgets=budgets, smoke=True, measured_on="fold")
    table = pd.read_csv(folder / "results.csv")
    table["slices"] = table["budget"].map({"10 % of slices": 0.1, "50 % of slices": 0.5})
    table.to_csv(folder / "results.csv", index=False)
    told = text_of(study_page(folder))
    assert "A smoke run on made-up data: the figures mean nothing." in told
    assert "in cross-validation, each by runs that never saw its label" in told
    assert "Dice over the share of slices labeled" in told and "50 % of slices" in told


def test_a_label_that_was_trained_on_and_measured_is_found(tmp_path):
    folder = study_folder(tmp_path, {"a": [0.5]}, budgets={"x": 3}, seeds=(0,))
    study = read_study(folder)
    assert seen_labels(study) == ({}, 1)
    result = folder / "runs" / "a-x-0" / "result.json"
    result.write_text(json.dumps({**json.loads(result.read_text()), "labeled": ["p1c0", "z"]}))
    assert seen_labels(study) == ({"a-x-0": ["p1c0"]}, 1)
    assert "its figures are not those of a sealed test" in text_of(study_page(folder))


def test_so_is_another_scan_of_a_measured_patient(tmp_path, monkeypatch):
    folder = study_folder(tmp_path, {"a": [0.5]}, budgets={"x": 3}, seeds=(0,))
    result = folder / "runs" / "a-x-0" / "result.json"
    result.write_text(json.dumps({**json.loads(result.read_text()), "labeled": ["p1c9", "z"]}))
    groups = {"p1c9": "p1", "z": "p99"}
    monkeypatch.setattr(sealed, "Store", lambda path: SimpleNamespace(splits=SimpleNamespace(groups=groups)))
    assert seen_labels(read_study(folder)) == ({"a-x-0": ["p1c9"]}, 1)


def test_pictures_are_of_the_cases_where_arms_differ(tmp_path):
    folder = study_folder(tmp_path, {"a": [0.5], "b": [0.6]}, budgets={"x": 3}, seeds=(0,), patients=4, cases=1)
    table = pd.read_csv(folder / "results.csv")
    table.loc[(table["arm"] == "a") & (table["case"] == "p2c0"), "dice"] = 0.01
    table.to_csv(folder / "results.csv", index=False)
    box = np.zeros((6, 6, 6), np.uint8)
    box[2:4, 2:4, 2:4] = 1
    save = lambda array, file: nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), file)
    save(box.astype(np.int16), tmp_path / "image.nii.gz")
    save(box, tmp_path / "label.nii.gz")
    for run in ("a-x-0", "b-x-0"):
        masks = folder / "runs" / run / "masks"
        masks.mkdir()
        save(box if run[0] == "b" else box * 0, masks / "p2c0.nii.gz")
        images = {"images": {"p2c0": [str(tmp_path / "image.nii.gz")]}}
        (masks / "prediction.json").write_text(json.dumps(images))
        pd.DataFrame({"case": ["p2c0"], "structure": ["box"], "dice": [0.5]}).to_csv(masks / "metrics.csv", index=False)
        told = {"table": "metrics.csv", "labels": "l", "structures": {"box": [1]}, "ignore": None,
                "files": {"p2c0": str(tmp_path / "label.nii.gz")}}  # fmt: skip
        (masks / note.FILE).write_text(json.dumps(told))
    page = study_page(folder)
    heads = re.findall(r"<h3>(p\dc0: Dice.*?)</h3>", page.html)
    assert len(heads) == 3 and heads[0].startswith("p2c0: Dice 0.010 to 0.6")
    lines = re.findall(r"<h4>(.*?)<", page.html)
    assert lines[:3] == ["Image", "a", "b"], "from the lowest Dice to the highest"
    assert "No pictures of this case" in page.html, "the two others have no masks"


def test_the_widest_spread_is_of_cases_that_two_arms_have():
    dice = pd.DataFrame({"a": [0.5, 0.1, 0.9, 0.4], "b": [0.6, np.nan, 0.3, 0.4], "c": [0.8, np.nan, 0.9, 0.5]},
                        index=list("wxyz"))  # fmt: skip
    assert widest(dice) == ["y", "w", "z"]
