"""Whole images told apart, the whole way on functions: prepare, pretrain, train, predict, evaluate, report."""

import dataclasses
import json
import shutil
import sys
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import f1_score, roc_auc_score

sys.path.insert(0, str(Path(__file__).parent / "data"))
from test_classes import BRIGHT, pictures

from halfmask import verbs
from halfmask.data.store import Store
from halfmask.evaluation.class_table import read_cases, read_metrics
from halfmask.evaluation.classification import measure
from halfmask.learning.clock import Clock
from halfmask.learning.recipe import Recipe
from halfmask.losses.classification import class_weights
from halfmask.training.cases import labeled_cases
from halfmask.training.feed import absent_classes, class_counts
from halfmask.training.options import Options
from halfmask.training.run import describe
from halfmask.training.trainer import Trainer

SMALL = ["network.width=4", "network.blocks=1,1,1,1"]
QUICK = dict(steps=30, batch="8", rate=0.01, threads=0, device="cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Three kinds of picture that differ in brightness, a few of unknown kind, each with a mask of its middle."""
    from PIL import Image

    rows = [(kind, f"images/p{n:02d}.png") for n, kind in enumerate([*BRIGHT, "dark", "light", *BRIGHT] * 5)]
    rows += [("", f"images/p{n:02d}.png") for n in (40, 41)]
    folder = pictures(tmp_path_factory.mktemp("pictures") / "data", [(kind,) for kind, _ in rows])
    (folder / "masks").mkdir()
    mask = np.zeros((40, 64), np.uint8)
    mask[10:30, 20:40] = 255
    lines = ["case,image,label,kind,bright,middling"]
    for number, (kind, image) in enumerate(rows):
        Image.fromarray(mask).save(folder / f"masks/p{number:02d}.png")
        flags = f"{int(kind == 'light')},{int(kind != 'dark')}" if kind else ","
        lines.append(f"p{number:02d},{image},masks/p{number:02d}.png,{kind},{flags}")
    (folder / "cases.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    way = tmp_path_factory.mktemp("way")
    store, out = way / "store", way / "run"
    verbs.prepare(data, out=store, classes="kind", workers=1, test=0.25)
    verbs.train("auto", store, out=out, set=SMALL, validations=2, **QUICK)
    return out


def test_from_a_table_to_figures(data, run, capsys):
    result = json.loads((run / "result.json").read_text())
    assert 0.5 < result["best_validation_auc"] <= 1 and (run / "best.pt").exists()
    journal = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    grades = [line for line in journal if line["kind"] == "validation"]
    assert result["best_validation_auc"] == max(line["auc"] for line in grades) and len(grades) == 2
    (table,) = verbs.predict(run, split="test", saliency=True, flips=True)
    assert table == run / "classes/cases.csv"
    found = verbs.evaluate(run / "classes", data)
    told = read_cases(table)
    assert told.classes == ["dark", "light", "middle"] and set(told.truth) == {0, 1, 2}
    names = pd.read_csv(data / "cases.csv", index_col="case")["kind"]
    assert [told.classes[k] for k in told.truth] == list(names[told.cases]), "the truth is the table's"
    mean = found.set_index("structure").loc["mean"]
    assert mean["auc"] > 0.8, "brightness is all there is to learn"
    assert mean["auc"] == pytest.approx(
        roc_auc_score(told.truth, told.probability, multi_class="ovr", labels=[0, 1, 2]), abs=1e-6
    )
    assert mean["f1"] == pytest.approx(f1_score(told.truth, told.probability.argmax(1), average="macro"))
    assert read_metrics(run / "classes/metrics.csv")["mean"]["auc"] == pytest.approx(mean["auc"], abs=1e-6)
    looked = pd.read_csv(run / "classes/saliency.csv")
    assert set(looked["kind"]) == {"gradient", "grad_cam"} and set(looked["case"]) == set(told.cases)
    assert looked["area"].to_numpy() == pytest.approx(20 * 20 / (40 * 64))
    assert "middle" in capsys.readouterr().out


def test_predictions_replace_their_like_alone(data, run, tmp_path):
    """A data set's own table is called as theirs, and may lie where they are to go."""
    before = (data / "cases.csv").read_text()
    with pytest.raises(ValueError, match=r"holds cases\.csv, and not of classes that were predicted"):
        verbs.predict(run, data, out=data, saliency=True)
    assert (data / "cases.csv").read_text() == before and not (data / "prediction.json").exists()
    one = data / "images/p00.png"
    with pytest.raises(ValueError, match="holds the images themselves"):
        verbs.predict(run, one, out=one.parent)
    verbs.predict(run, one, out=tmp_path, saliency=True)
    for name in ("metrics.csv", "saliency.csv"):
        (tmp_path / name).write_text("of the predictions before")
    verbs.predict(run, one, out=tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"cases.csv", "prediction.json"}


def test_a_report_shows_it(data, run, tmp_path):
    verbs.predict(run, split="test", saliency=True)
    verbs.evaluate(run / "classes", data)
    page = verbs.report([run], out=tmp_path / "report.html").read_text()
    for text in ("ROC", "Confusion", "Grad-CAM", "balanced", f"halfmask evaluate {run}/classes"):
        assert text in page, text


def test_pictures_of_any_size_are_told(run, tmp_path):
    from PIL import Image

    for name, shape, level in (("tall", (300, 20), 40), ("small", (9, 9), 200), ("large", (500, 800), 200)):
        Image.fromarray(np.full((*shape, 3), level, np.uint8)).save(tmp_path / f"{name}.png")
    (table,) = verbs.predict(run, tmp_path, out=tmp_path / "out")
    told = read_cases(table)
    assert told.cases == ["large", "small", "tall"]
    np.testing.assert_allclose(told.probability.sum(1), 1, rtol=1e-5)


def test_what_is_not_for_whole_images_is_refused(data, run, tmp_path, prepared):
    store = run.parent / "store"
    with pytest.raises(ValueError, match="'fixmatch' segments; give 'classification'"):
        verbs.train("fixmatch", store, out=tmp_path / "a", steps=1)
    with pytest.raises(ValueError, match="prepare it with --classes COLUMN"):
        verbs.train("classification", prepared(2).path, out=tmp_path / "b", steps=1)
    for options in ({"slices": 0.5}, {"slice_axis": 1}):
        with pytest.raises(ValueError, match="leave out --slices and --slice-axis"):
            verbs.train("classification", store, out=tmp_path / "c", steps=1, **options)
    with pytest.raises(ValueError, match="leave out --search"):
        verbs.train("auto", store, out=tmp_path / "d", search=True)
    with pytest.raises(ValueError, match="--ignore-value is of masks"):
        verbs.evaluate(verbs.predict(run, split="test")[0].parent, data, ignore_value=0)
    with pytest.raises(ValueError, match="the table holds each image's probabilities"):
        verbs.predict(run, split="test", probability=True)
    other = pictures(tmp_path / "other", [("red",), ("dark",)])
    verbs.predict(run, other, out=tmp_path / "out")
    with pytest.raises(ValueError, match=r"has the classes red, which the model was not trained on"):
        verbs.evaluate(tmp_path / "out", other)


def test_without_two_classes_to_validate_on_the_log_loss_is_what_counts(data, tmp_path, capsys):
    table = tmp_path / "cases.csv"
    rows = [("dark", "val"), ("dark", "val"), ("light", "train"), ("dark", "train"), ("light", "test")] * 2
    split = lambda number: rows[number][1]
    folder = pictures(tmp_path / "data", [(kind,) for kind, _ in rows])
    lines = (folder / "cases.csv").read_text().splitlines()
    table = folder / "cases.csv"
    table.write_text("\n".join([lines[0] + ",split", *(f"{x},{split(n)}" for n, x in enumerate(lines[1:]))]) + "\n")
    verbs.prepare(table, out=tmp_path / "store", classes="kind", workers=1)
    told = verbs.train("classification", tmp_path / "store", out=tmp_path / "run", set=SMALL, validations=2,
                       **QUICK | {"steps": 4, "batch": "4"})  # fmt: skip
    said = capsys.readouterr()
    assert f"best validation log loss {told['best_validation_log_loss']:.4f}" in said.out
    assert "labeled images is" not in said.err, "both classes are labeled"
    verbs.train(
        "classification", tmp_path / "store", out=tmp_path / "few", set=SMALL, labels="1", **QUICK | {"steps": 1}
    )
    assert "none of the 1 labeled images is" in capsys.readouterr().err
    assert "best_validation_auc" not in told and told["best_validation_log_loss"] > 0
    assert (tmp_path / "run/best.pt").exists()


def test_what_is_counted_are_the_labels_that_a_run_may_read(data, run, tmp_path):
    """Not those beyond its budget, nor those that validate; of several classes first the images without each."""
    store = Store(run.parent / "store")
    described = lambda store, labels: describe(store.plan, "classification", settings={}, network=None,
                                               recipe=Recipe(), labels=labels)  # fmt: skip
    for labels in (4, None):
        told = described(store, labels)
        kinds = [store.case(name).target[0] for name in labeled_cases(told, store)]
        assert class_counts(told, store).tolist() == [kinds.count(k) for k in range(3)]
    assert sum(class_counts(described(store, 4), store)) == 4
    verbs.prepare(data, out=tmp_path / "store", classes="bright,middling", workers=1, test=0.25)
    store = Store(tmp_path / "store")
    told = described(store, None)
    shown = np.array([store.case(name).target for name in labeled_cases(told, store)])
    assert class_counts(told, store).tolist() == [[*(shown == 0).sum(0)], [*(shown == 1).sum(0)]]
    assert ((shown == 0).sum(0) != (shown == 1).sum(0)).any(), "or their order could not be told"
    assert absent_classes(told, store) == []
    for draw in range(5):
        one = dataclasses.replace(told, labels=1, draw=draw)
        (name,) = labeled_cases(one, store)
        lacks = [label for label, value in zip(store.plan.labels, store.case(name).target, strict=True) if value != 1]
        assert absent_classes(one, store) == lacks


def test_a_resumed_run_comes_to_the_same_weights(run, tmp_path):
    """Two steps and two more are four, class-balanced weights included."""
    store = Store(run.parent / "store")
    settings = dict(each.split("=") for each in SMALL)
    told = describe(store.plan, "classification", settings=settings, network=None, recipe=Recipe(steps=4, labeled=4))
    weights = []
    for stops in ([4], [2, 4]):
        for stop in stops:
            trainer = Trainer(told, store, tmp_path / str(stops), Options(device="cpu", threads=0, validations=0))
            trainer.resume()
            for batch in trainer.loader.batches(trainer.step, stop):
                trainer.take(batch, Clock(trainer.step, 4))
                trainer.step += 1
            trainer.save()
        weights.append(trainer.method.state_dict())
        balanced = class_weights(class_counts(told, store)[None], told.settings["balance"])
        assert torch.equal(trainer.method.weights, balanced) and balanced.unique().numel() > 1
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name]), name
    trainer.method.head[-1].bias.data[0] += 10  # the threshold alone: all are taken for the first class
    grade = trainer.exam.grade()
    assert grade.score == grade.figures["auc"] != grade.figures["recall"] == pytest.approx(1 / 3)


def test_pre_trained_by_cass_both_networks_go_on(data, run, tmp_path, capsys):
    store, pre = run.parent / "store", tmp_path / "pre"
    peer = "peer_settings=hidden_size=12,layers=2,heads=2"
    verbs.pretrain("cass", store, out=pre, set=[*SMALL, peer, "peer=vit_ti16"], steps=4, batch=4, threads=0)
    journal = [json.loads(line) for line in (pre / "journal.jsonl").read_text().splitlines()]
    features = [line for line in journal if line["kind"] == "features"]
    assert features and 0 <= features[-1]["linear accuracy"] <= 1, "the probe tells the classes of whole images"
    vit = ["network.hidden_size=12", "network.layers=2", "network.heads=2"]
    for network, settings in (("resnet18", SMALL), ("vit_ti16", vit)):
        verbs.train("classification", store, out=tmp_path / network, network=network, init=pre, set=settings,
                    labels="30%", steps=2, batch="4", threads=0, validations=0)  # fmt: skip
    assert capsys.readouterr().err.count("100.0% of the parameters, went over") == 2


def test_several_classes_an_image(data, tmp_path):
    store, run = tmp_path / "store", tmp_path / "run"
    verbs.prepare(data, out=store, classes="bright,middling", workers=1, test=0.25)
    verbs.train("classification", store, out=run, set=SMALL, validations=1, **QUICK)
    (table,) = verbs.predict(run, split="test")
    found = verbs.evaluate(run / "classes", data).set_index("structure")
    told = read_cases(table, multi_label=True)
    assert told.truth.shape == told.probability.shape == (len(told.cases), 2)
    assert found.loc["bright", "auc"] > 0.8 and list(found.index) == ["bright", "middling", "mean"]
    assert (told.truth[:, 0] <= told.truth[:, 1]).all(), "what is bright is not dark"


def test_volumes_are_told_whole(tmp_path):
    """Scans of other shapes and spacings; of what is bright, in 3D."""
    rng, data = np.random.default_rng(0), tmp_path / "data"
    data.mkdir()
    lines = ["case,image,class"]
    for number in range(16):
        shape = (20 + number % 3, 24, 16)
        image = rng.normal(10, 1, shape).astype(np.float32)
        size = 3 if number % 2 else 8
        image[4 : 4 + size, 4 : 4 + size, 4 : 4 + size] += 30
        nibabel.save(
            nibabel.Nifti1Image(image, np.diag([1, 1, 1.5 + 0.1 * (number % 2), 1])), data / f"s{number}.nii.gz"
        )
        lines.append(f"s{number},s{number}.nii.gz,{'large' if size == 8 else 'small'}")
    (data / "cases.csv").write_text("\n".join(lines) + "\n")
    verbs.prepare(data, out=tmp_path / "store", workers=1, test=0.25)
    verbs.train("classification", tmp_path / "store", out=tmp_path / "run", set=SMALL, validations=1,
                **QUICK | {"steps": 20, "batch": "4"})  # fmt: skip
    verbs.predict(tmp_path / "run", split="test", saliency=True)
    found = verbs.evaluate(tmp_path / "run/classes", data / "cases.csv").set_index("structure")
    assert found.loc["mean", "auc"] > 0.8
    maps = sorted((tmp_path / "run/classes/saliency/grad_cam").glob("*.nii.gz"))
    case = maps[0].name
    assert nibabel.load(maps[0]).shape == nibabel.load(data / case).shape


def test_the_best_weights_are_the_best_on_the_source(data, tmp_path, capsys):
    """Labels of the target, which the store has, are shown and choose nothing."""
    folder = tmp_path / "data"
    shutil.copytree(data, folder)
    lines = (folder / "cases.csv").read_text().splitlines()
    told = [f"{line},{'domain' if n == 0 else 'AB'[n % 2]}" for n, line in enumerate(lines)]
    (folder / "cases.csv").write_text("\n".join(told) + "\n")
    verbs.prepare(folder, out=tmp_path / "store", classes="kind", workers=1, test=0.0, folds=2, stratify=True)
    store = Store(tmp_path / "store")
    settings = {"network.width": "4", "network.blocks": "1,1,1,1"}
    recipe = Recipe(steps=1, labeled=4)
    for source in (("A",), None):
        run = describe(store.plan, "classification", settings=settings, network=None, recipe=recipe, source=source)
        trainer = Trainer(run, store, tmp_path / str(source), Options(threads=0, validations=1))
        domains = [store.splits.domains[name] for name in trainer.exam.cases]
        assert set(domains) == {"A", "B"}
        grade, own = trainer.exam.grade(), trainer.exam
        rows = np.array([source is None or domain in source for domain in domains])
        given = own._truth, np.stack([own.predict(case)[0] for case in own._cases])
        expected = [measure(p, t, list(store.plan.labels))["mean"]["auc"]
                    for t, p in (given, tuple(each[rows] for each in given))]  # fmt: skip
        assert [grade.figures["auc"], grade.score] == pytest.approx(expected)
