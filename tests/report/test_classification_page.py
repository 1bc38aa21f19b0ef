"""The page on runs that tell classes of images."""

import base64
import html
import io
import json
import re

import numpy as np
import pandas as pd
import pytest
from class_folders import CLASSES, class_run, made_up
from entries import run_folder
from PIL import Image
from sklearn import metrics
from test_page import Reader

from halfmask import verbs
from halfmask.evaluation.class_table import Predictions
from halfmask.evaluation.statistics.seeds import interval
from halfmask.report.class_curves import GRID, precision_curve, roc_curve
from halfmask.report.class_groups import gap, over_seeds
from halfmask.report.class_pictures import blended, chosen, hot, truth_probability
from halfmask.report.class_verdict import class_verdict
from halfmask.report.classification_page import classification_page
from halfmask.report.gather import gather
from halfmask.report.groups import grouped

EVIL = ("<b>x</b>", "y&z", "n")


def text_of(page):
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", page)))


def well_made(page):
    found = Reader(page)
    assert len(found.ids) == len(set(found.ids))
    assert all(link.startswith(("#", "data:image/")) for link in found.links)
    assert {link[1:] for link in found.links if link.startswith("#")} <= set(found.ids)
    assert not re.search(r"https?:|@import|url\(|<script|\bnan\b", re.sub(r"base64,[^\"]*", "", page), re.IGNORECASE)
    assert len(re.findall(r'<svg[^>]*role="img"', page)) == len(re.findall(r"<svg[^>]*><title>", page))
    assert all(attrs.get("alt") for tag, attrs in found.tags if tag == "img")
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two setups of three seeds."""
    folder = tmp_path_factory.mktemp("classes")
    kinds, told = {"supervised": ("gradient", "grad_cam"), "mean_teacher": ("grad_cam",)}, {}
    for method, skill in (("supervised", 1.0), ("mean_teacher", 2.2)):
        for seed in range(3):
            name = f"{method}-{seed}"
            told[name] = class_run(
                folder / name, skill, method=method, seed=seed, pictures=True, saliency=kinds[method]
            )
    return folder, told


@pytest.fixture(scope="module")
def written(folder):
    out = folder[0] / "report.html"
    verbs.report([folder[0] / name for name in folder[1]], out=out)
    return out.read_text(encoding="utf-8")


def test_the_page_is_well_made_and_whole(written):
    found, told = well_made(written), text_of(written)
    for part in ("ROC, mean of classes", "Precision–recall, malignant", "ECE", "3 runs added up",
                 "Most confidently wrong", "Grad-CAM", "mean AUC on the validation cases",
                 "What differs", "halfmask predict", "Intervals over cases"):  # fmt: skip
        assert part in told, part
    assert "What is missing" not in told
    assert sum(tag == "img" for tag, _ in found.tags) == 3 * 3 + 3 * 2, "an image and its heat maps a case"
    assert len(written) < 1e6


def test_the_table_is_of_measure_over_seeds(folder, written):
    rows = re.findall(r"<tr><th scope=\"row\">(.*?)</th>(.*?)</tr>", written)[:2]
    names = [html.unescape(re.sub("<.*?>", "", name)) for name, _ in rows]
    assert names == ["supervised", "mean_teacher"]
    for name, (_, cells) in zip(names, rows, strict=True):
        said = [re.sub("<.*?>|★|best: ", "", cell) for cell in re.findall("<td>(.*?)</td>", cells)]
        for metric, cell in zip(("auc", "recall", "f1", "accuracy", "average_precision", "ece"), said, strict=True):
            found = interval([folder[1][f"{name}-{seed}"]["mean"][metric] for seed in range(3)])
            assert cell == f"{found.mean:.3f} ± {found.half:.3f}"


def test_a_lead_is_shown_by_paired_seeds_alone(folder, tmp_path):
    runs, told = folder
    sup, mt = grouped(gather([runs / name for name in told]))
    differences = [told[f"mean_teacher-{s}"]["mean"]["auc"] - told[f"supervised-{s}"]["mean"]["auc"] for s in range(3)]
    found = gap(mt, sup, "auc")
    assert found.over == pytest.approx(interval(differences)) and found.draws == 3 and found.shown
    first, second = class_verdict([sup, mt])
    assert first.startswith("mean_teacher has the highest mean AUC") and "That is shown: the 95 % interval" in first
    assert f"{100 * found.over.mean:.1f} points above supervised, the first" in first
    assert "balanced recall" in second
    (alone, other) = grouped(gather([runs / "supervised-0", runs / "mean_teacher-0"]))
    assert "not shown: one seed" in class_verdict([alone, other])[0]
    (other,) = grouped(gather([runs / "mean_teacher-1"]))
    assert gap(other, alone, "auc") is None and "no seed and cases in common" in class_verdict([alone, other])[0]
    class_run(tmp_path / "fewer", 2.0, method="mean_teacher", cases=40)
    (other,) = grouped(gather([tmp_path / "fewer"]))
    assert gap(other, alone, "auc") is None, "other cases"
    page = classification_page(gather([runs / "supervised-0", tmp_path / "fewer"])).html
    assert "measured on different cases" in page


def test_equal_setups_show_nothing(tmp_path):
    for method in ("a", "b"):
        for seed in range(3):
            class_run(tmp_path / f"{method}{seed}", 1.0, method=method, seed=seed)
    page = classification_page(gather(sorted(tmp_path.iterdir())))
    assert "as much as b, the next" in page.summary and "not shown" in page.summary
    assert "<strong>" not in page.html


def test_folds_of_a_seed_are_one_value(tmp_path):
    measured = [class_run(tmp_path / f"f{n}", 1.0 + n, fold=n, seed=0) for n in range(2)]
    (group,) = grouped(gather([tmp_path / "f0", tmp_path / "f1"]))
    found = over_seeds(group, "auc")
    assert found.mean == pytest.approx(np.mean([m["mean"]["auc"] for m in measured])) and np.isnan(found.half)


@pytest.mark.parametrize("multi_label", [False, True])
def test_hostile_names_one_seed_and_no_saliency(tmp_path, multi_label):
    class_run(tmp_path / "<script>x", 1.0, method="<script>m", classes=EVIL, multi_label=multi_label)
    page = classification_page(gather([tmp_path / "<script>x"]))
    well_made(page.html)
    assert "<b>x" not in page.html and "&lt;b&gt;x" in page.html
    told = text_of(page.html)
    assert "One seed each, so without an interval" in told and "There is no other setup" in told
    assert "look at" not in told and ("Rows are what the cases are" in told) != multi_label


def test_two_classes_have_one_pair_of_curves(tmp_path):
    class_run(tmp_path / "run", 1.0, classes=("healthy", "ill"))
    told = text_of(classification_page(gather([tmp_path / "run"])).html)
    assert "Of ill against healthy." in told and "ROC, ill" in told and "ROC, healthy" not in told


def test_what_lacks_is_told(tmp_path, folder):
    class_run(tmp_path / "run", 1.0, journal=False)
    (tmp_path / "run" / "classes" / "cases.csv").unlink()
    page = classification_page(gather([tmp_path / "run"]))
    assert page.summary.startswith("Nothing was measured") and "halfmask evaluate" in " ".join(page.missing)
    waiting = run_folder(tmp_path / "waiting")
    (waiting / "run.yaml").write_text("{method: supervised, task: classification, seed: 0}")
    (entry,) = gather([waiting])
    assert entry.classifies and "no classes in" in entry.missing[0] and "predict" in entry.missing[0]
    class_run(tmp_path / "unknown", 1.0)
    cases = tmp_path / "unknown" / "classes" / "cases.csv"
    table = pd.read_csv(cases, dtype=str)
    table.assign(truth="").to_csv(cases, index=False)
    page = classification_page(gather([tmp_path / "unknown"]))
    assert "tells of no case what it is" in page.missing[0]
    (tmp_path / "run" / "classes" / "saliency.csv").write_text("case,kind\na,b\n")
    assert any("no column pointing, energy, area" in told for told in gather([tmp_path / "run"])[0].missing)


def test_masks_and_classes_are_not_mixed(tmp_path):
    class_run(tmp_path / "tells", 1.0)
    run_folder(tmp_path / "segments")
    with pytest.raises(ValueError, match="tells tell classes of images, segments masks: no figure compares them"):
        verbs.report([tmp_path / "tells", tmp_path / "segments"], out=tmp_path / "report.html")


def test_curves_pass_through_those_of_scikit_learn():
    p, truth = made_up(1.0, 4, cases=300)
    found = Predictions([str(n) for n in range(300)], list(CLASSES), p, truth)
    false, true, _ = metrics.roc_curve(truth == 1, p[:, 1], drop_intermediate=False)
    ours = roc_curve(found, 1)
    for at, value in zip(GRID[1:-1], ours[1:-1], strict=True):
        lowest, highest = true[false <= at].max(initial=0), true[false >= at].min(initial=1)
        assert min(lowest, highest) - 1e-6 <= value <= max(lowest, highest) + 1e-6
    assert np.trapezoid(ours, GRID) == pytest.approx(metrics.roc_auc_score(truth == 1, p[:, 1]), abs=0.01)
    precision, recall, _ = metrics.precision_recall_curve(truth == 1, p[:, 1])
    ours = precision_curve(found, 1)
    assert ours[100] == pytest.approx(precision[np.flatnonzero(recall >= 0.5)[-1]])
    assert ours.mean() == pytest.approx(metrics.average_precision_score(truth == 1, p[:, 1]), abs=0.01)
    assert roc_curve(Predictions(["a"], ["x", "y"], p[:1, :2], truth[:1] * 0), 0) is None


def test_chosen_cases_are_the_least_middle_and_most_sure():
    p = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.5, 0.5]])
    found = Predictions(list("abcd"), ["x", "y"], p, np.array([0, 0, 0, 255]))
    assert chosen(found) == {"Most confidently wrong": 1, "Median": 2, "Most confidently right": 0}
    assert "Least right" in chosen(Predictions(["a"], ["x", "y"], p[:1], np.array([0])))
    several = Predictions(list("ab"), ["x", "y"], p[:2], np.array([[1, 255], [0, 1]]))
    assert truth_probability(several).tolist() == pytest.approx([0.9, 0.8])


def test_heat_is_lighter_the_more_salient():

    steps = hot(np.linspace(0, 1, 50)).sum(-1)
    assert (np.diff(steps) > 0).all() and steps[0] == 0 and steps[-1] == 765
    made = np.asarray(blended(Image.new("RGB", (2, 1), (90, 90, 90)), np.array([[0, 255]], np.uint8)))
    assert made[0, 0].tolist() == [90, 90, 90] and made[0, 1].min() > 200


def test_pictures_that_cannot_be_read_are_told(tmp_path):
    class_run(tmp_path / "run", 1.0, pictures=True, saliency=("grad_cam",))
    about = tmp_path / "run" / "classes" / "prediction.json"
    told = json.loads(about.read_text())
    told["images"] = {case: ["/nowhere/x.png"] for case in told["images"]}
    about.write_text(json.dumps(told))
    page = classification_page(gather([tmp_path / "run"]))
    assert "No picture: /nowhere/x.png" in page.html and "Pointing game" in page.html
    assert ">0.400<" in page.html and ">4.00<" in page.html and ">59<" in page.html, "a case without a mask is left out"


def test_a_volume_is_shown_by_its_middle_plane(tmp_path):
    import nibabel

    class_run(tmp_path / "run", 1.0)
    array = np.random.default_rng(0).random((8, 9, 5))
    nibabel.save(nibabel.Nifti1Image(array, np.diag([1, 1, 3, 1])), tmp_path / "x.nii")
    about = tmp_path / "run" / "classes" / "prediction.json"
    told = json.loads(about.read_text())
    told["images"] = {case: [str(tmp_path / "x.nii")] for case in told["cases"]}
    about.write_text(json.dumps(told))
    found = well_made(classification_page(gather([tmp_path / "run"])).html)
    assert [(a["width"], a["height"]) for tag, a in found.tags if tag == "img"] == [("228", "256")] * 3


def test_of_a_volume_the_plane_with_most_of_what_is_salient_is_shown(tmp_path):
    """Nothing but one voxel of one slice is salient: that slice is shown, and the voxel is hot."""
    import nibabel

    class_run(tmp_path / "run", 1.0)
    image, heat = np.zeros((8, 9, 5)), np.zeros((8, 9, 5), np.uint8)
    image[:, :, 1] = np.arange(72).reshape(8, 9)
    heat[2, 3, 1] = 255
    nibabel.save(nibabel.Nifti1Image(image, np.diag([1, 1, 3, 1])), tmp_path / "x.nii")
    classes = tmp_path / "run" / "classes"
    told = json.loads((classes / "prediction.json").read_text())
    told["images"] = {case: [str(tmp_path / "x.nii")] for case in told["cases"]}
    (classes / "prediction.json").write_text(json.dumps(told))
    (classes / "saliency/gradient").mkdir(parents=True)
    for case in told["cases"]:
        nibabel.save(nibabel.Nifti1Image(heat, np.diag([1, 1, 3, 1])), classes / f"saliency/gradient/{case}.nii.gz")
    found = well_made(classification_page(gather([tmp_path / "run"])).html)
    drawn = [a["src"] for tag, a in found.tags if tag == "img"]
    assert len(drawn) == 6, "image and map of three cases"
    plain, looked = (np.asarray(Image.open(io.BytesIO(base64.b64decode(src.split(",")[1]))), int) for src in drawn[:2])
    assert plain.max() > 200, "the slice that is not empty"
    y, x = np.unravel_index(abs(looked - plain).sum(-1).argmax(), looked.shape[:2])
    h, w = looked.shape[:2]
    assert abs(x / w - (1 - 2.5 / 8)) < 0.15 and abs(y / h - (1 - 3.5 / 9)) < 0.15, "the patient's right is on the left"
