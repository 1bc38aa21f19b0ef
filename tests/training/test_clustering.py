"""Clusters from a store: trained without a label, the same after any stop, predicted and named."""

import json

import nibabel
import numpy as np
import pytest
import torch

from halfmask import verbs
from halfmask.data.stored_case import StoredCase
from halfmask.learning.clock import Clock
from halfmask.learning.recipe import Recipe
from halfmask.methods.clustering.picie import PiCIE
from halfmask.training import checkpoint, sweep
from halfmask.training.exam import Clusters
from halfmask.training.interrupt import Stopped
from halfmask.training.journal import read_journal
from halfmask.training.options import Options
from halfmask.training.run import describe
from halfmask.training.trainer import Trainer


@pytest.fixture
def train(prepared, tmp_path):
    """Train as the command line does, 4 steps in 2D unless told otherwise; gives the run's folder."""

    def run(*, dims=2, out="run", **options):
        given = {"steps": 4, "threads": 0, "batch": "4", "set": ["features=8"]} | options
        verbs.train("picie", prepared(dims).path, out=tmp_path / out, **given)
        return tmp_path / out

    return run


@pytest.fixture
def trainer(prepared, tmp_path):
    store = prepared(2)
    run = describe(store.plan, "picie", settings={"features": "8"}, network=None, recipe=Recipe(steps=9, unlabeled=2))
    return Trainer(run, store, tmp_path / "run", Options(threads=0, validations=0))


def state(folder):
    return checkpoint.load(folder / "last.pt")["state"]


@pytest.mark.parametrize("dims", [2, 3], ids=["2d", "3d"])
def test_from_a_store_to_named_masks(train, prepared, cohort, capsys, dims):
    run, store = train(dims=dims, set=["features=8", "clusters=4"]), prepared(dims)
    result = json.loads((run / "result.json").read_text())
    assert result["labeled"] == [] and result["unlabeled"] == len(set(store.stored) - set(store.splits.folds[0]))
    assert "no label was read" in capsys.readouterr().out
    (looked, *_) = [line for line in read_journal(run / "journal.jsonl") if line["kind"] == "clusters"]
    assert sum(looked[f"cluster {k}"] for k in range(4)) == pytest.approx(1)
    (written,) = verbs.predict(run, split="test", probability=True)
    mask, image = nibabel.load(written), nibabel.load(cohort / "imagesTs" / "phantom_000.nii.gz")
    assert mask.shape == image.shape[:3] and set(np.unique(mask.dataobj)) <= {0, 1, 2, 3}
    np.testing.assert_allclose(mask.affine, image.affine)
    about = json.loads((run / "masks" / "prediction.json").read_text())
    assert about["clusters"] == 4 and list(about["labels"]) == list(store.plan.labels)
    assert {p.name for p in (run / "masks" / "probability").iterdir()} == {f"cluster {k}" for k in range(4)}
    table = verbs.evaluate(run / "masks", cohort, workers=1)
    assert set(table["structure"]) == {"lesion", "ventricles"} and "named the clusters" in capsys.readouterr().out
    html = verbs.report([run], out=run / "report.html").read_text()
    assert "halfmask train picie" in html and "No pictures of this case" not in html


def test_no_label_is_read(train, monkeypatch):
    plain = state(train(out="plain"))
    monkeypatch.setattr(StoredCase, "label", property(lambda self: 0 * self.image[0].astype("uint8")))
    monkeypatch.setattr(StoredCase, "locations", property(lambda self: 1 / 0))
    blind = state(train(out="blind"))
    assert all(value.equal(blind[name]) for name, value in plain.items())


@pytest.mark.parametrize("last", [1, 2])
def test_stopped_anywhere_it_goes_on_to_the_same_weights(train, monkeypatch, last):
    """Six cases in batches of 4: epochs begin before steps 0, 2, 3, 5: one stop is in mid-epoch, one at its end."""
    swept, every = [], sweep.Sweep.images
    monkeypatch.setattr(sweep.Sweep, "images", lambda self, epoch: swept.append(epoch) or every(self, epoch))
    plain, whole = state(train(out="plain", steps=6)), list(swept)
    assert len(whole) > 2 and whole == sorted(set(whole))
    look = Clusters.look

    def stop(self, step, steps):
        if step == last + 1:
            raise Stopped("now", 15)
        return look(self, step, steps)

    swept.clear()
    monkeypatch.setattr(Clusters, "look", stop)
    with pytest.raises(Stopped):
        train(out="again", steps=6, save_seconds=0)
    monkeypatch.setattr(Clusters, "look", look)
    resumed = state(train(out="again", steps=6, resume=True))
    assert all(value.equal(resumed[name]) for name, value in plain.items())
    assert set(swept) == set(whole)


def test_a_sweep_sees_each_case_once_as_it_was_cut(trainer, monkeypatch):
    names = [case.name for case in trainer.loader.unlabeled.cases]
    seen = [images for images in trainer.sweep.images(0)]
    numbers = torch.cat([images.case for images in seen])[: len(names)]
    assert sorted(numbers.tolist()) == list(range(len(names)))
    for images in seen:
        assert images.label is None and images.image.dtype == torch.float32
        assert images.image.shape[2:] == tuple(trainer.plan.patch)
    again = list(trainer.sweep.images(0))
    assert all(a.image.equal(b.image) for a, b in zip(seen, again, strict=True))
    monkeypatch.setattr(sweep, "SWEPT", {2: 2})
    shown = [trainer.sweep.images(epoch) for epoch in range(3)]
    numbers = [n for epoch in shown for images in epoch for n in images.case.tolist()]
    assert len(numbers) == 6 == len(set(numbers))  # each epoch others, until all have come


def test_a_cluster_that_has_taken_all_is_told(trainer, monkeypatch, capsys):
    one = lambda self, image: torch.eye(2)[1].view(1, 2, 1, 1).expand(len(image), 2, *image.shape[2:])
    trainer.sweep(Clock(0, 9))
    assert trainer.exam.look(0, 9) is None
    kind, _ = trainer.exam.look(3, 9)
    assert kind == "clusters" and "warning" not in capsys.readouterr().err
    monkeypatch.setattr(PiCIE, "predict", one)
    assert trainer.exam.look(3, 9)[1] == {"cluster 0": 0, "cluster 1": 1}
    assert "warning: picie: at step 3 cluster 1 has 100.0% of all voxels" in capsys.readouterr().err


def test_what_has_no_meaning_without_labels_is_refused(train, prepared, tmp_path):
    with pytest.raises(ValueError, match="reads no label; leave out --labels, --slices, --draw"):
        train(labels="3", slices=0.5, draw=1)
    with pytest.raises(ValueError, match="give `halfmask train picie"):
        verbs.pretrain("picie", prepared(2).path, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
