"""The whole way on real scans, where they are at hand: set $HALFMASK_DATA to the folder that holds them."""

import dataclasses
import os
from pathlib import Path

import nibabel
import numpy as np
import pytest

from halfmask import verbs
from halfmask.data.layouts import read_index
from halfmask.data.prepare import prepare
from halfmask.data.preprocess import class_numbers, preprocess, read_case
from halfmask.data.store import Store

FOLDER = Path(os.environ.get("HALFMASK_DATA", Path(__file__).parents[2] / "shared" / "data"))


def data(name: str) -> Path:
    if not (FOLDER / name).is_dir():
        pytest.skip(f"{FOLDER / name} is not there; set HALFMASK_DATA to the folder that holds {name}")
    return FOLDER / name


@pytest.fixture(scope="module")
def hippocampus(tmp_path_factory) -> Path:
    """A store of the 260 hippocampus scans."""
    source, store = data("Task04_Hippocampus"), tmp_path_factory.mktemp("hippocampus") / "store"
    verbs.prepare(source, out=store, workers=1)
    return store


def test_hippocampus_has_no_fault():
    assert verbs.check(data("Task04_Hippocampus"), workers=1) == []


def test_acdc_names_look_grouped_and_two_patients_are_one():
    faults = verbs.check(data("ACDC"), workers=1)
    assert {f.severity for f in faults} == {"warning"}
    assert any("several scans of one patient" in f.what for f in faults)
    assert [f.case for f in faults if "same image" in f.what] == ["patient076_frame01", "patient076_frame02"]


def test_acdc_is_planned_in_2d_and_no_patient_straddles(tmp_path):
    verbs.prepare(data("ACDC"), out=tmp_path / "store", group=r"(patient\d+)", workers=1)
    store = Store(tmp_path / "store")
    plan, splits = store.plan, store.splits
    assert plan.dims == 2 and plan.orientation[0] == "S"
    assert any("9 slices, 6.7 times as thick" in reason for reason in plan.why)
    assert plan.flips == (True, False), "the right ventricle is told from the left by its side"
    patient = lambda names: {name[:10] for name in names}
    for fold in range(5):
        labeled = splits.labeled(fold=fold, draw=1, budget=3)
        parts = [splits.test, splits.folds[fold], labeled, splits.pool(store.stored, labeled, fold=fold)]
        assert sum(map(len, parts)) == 160 and len(labeled) == 6
        assert len(set.union(*map(patient, parts))) == sum(len(patient(part)) for part in parts) == 80


def test_pictures_of_skin_keep_their_own_split(tmp_path):
    index = read_index(data("isic"))
    cases = tuple(c for n, c in enumerate(index.cases) if n % 40 == 0)
    store = prepare(dataclasses.replace(index, cases=cases), tmp_path / "store", spacing=(2.0, 2.0))
    assert (store.plan.dims, store.plan.spacing, len(store.plan.channels)) == (2, (None, 2, 2), 3)
    assert store.plan.labels == {"background": 0, "foreground": 255}
    assert set(store.splits.test) == {c.name for c in cases if c.split == "test"}
    assert store.case(store.stored[0]).shape == (1, 128, 128)


def test_hippocampus_plan_keeps_front_and_back_apart(hippocampus):
    plan = Store(hippocampus).plan
    assert plan.dims == 3
    assert plan.spacing == (1.0, 1.0, 1.0)
    assert plan.flips == tuple(letter != "P" for letter in plan.orientation or "")


def test_labels_come_back_as_they_were(hippocampus):
    """Brought to the prepared grid and back, a label is the file's own, voxel by voxel."""
    store = Store(hippocampus)
    for case in list(store.sources.values())[:5]:
        image, label, grid = read_case(case)
        prepared = preprocess(image, label, grid, store.plan)
        classes = np.eye(store.plan.classes, dtype=np.float32)[prepared.label]
        back = prepared.frame.restore_classes(np.moveaxis(classes, -1, 0))
        np.testing.assert_array_equal(back, class_numbers(label, store.plan))


def test_hippocampus_from_store_to_table(hippocampus, tmp_path):
    run, masks = tmp_path / "run", tmp_path / "masks"
    verbs.train(
        "mean_teacher", hippocampus, out=run, labels="2", steps=10, optimizer="adamw", rate=5e-3,
        set=["network.width=4", "predict_with=student"], validations=0, device="cpu",
    )  # fmt: skip
    sealed = Store(hippocampus).splits.test[:3]
    images = tmp_path / "images"
    images.mkdir()
    index = read_index(data("Task04_Hippocampus"))
    for name in sealed:
        (images / index[name].images[0].name).symlink_to(index[name].images[0].resolve())
    verbs.predict(run, images, out=masks, device="cpu")
    table = verbs.evaluate(masks, data("Task04_Hippocampus"), out=tmp_path / "table.csv", workers=1)
    assert sorted(table["case"].unique()) == sorted(sealed)
    assert set(table["structure"]) == {"Anterior", "Posterior"}
    mask, image = nibabel.load(masks / f"{sealed[0]}.nii.gz"), nibabel.load(index[sealed[0]].images[0])
    np.testing.assert_array_equal(mask.affine, image.affine)
    assert mask.shape == image.shape
    assert mask.get_data_dtype() == np.uint8
