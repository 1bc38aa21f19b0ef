"""From the files of other programs to their table: check, prepare, train, predict and evaluate, layout by layout."""

import json

import h5py
import nibabel
import numpy as np
import pytest
from made import blob, h5, nifti

from halfmask import verbs
from halfmask.data.store import Store

AFFINE = np.array([[-1.2, 0.1, 0, 30], [0.1, 1.2, 0, -20], [0, 0, 2.0, 5], [0, 0, 0, 1.0]])
SHAPE = (20, 24, 16)


def whole_way(data, out, *, group=None):
    """Check, prepare, train for three steps, predict the sealed cases and evaluate; returns the table."""
    faults = verbs.check(data, group=group, workers=1)
    assert not [f for f in faults if f.severity == "error"], "\n".join(map(str, faults))
    verbs.prepare(data, out=out / "store", group=group, workers=1)
    verbs.train(
        "mean_teacher", out / "store", out=out / "run", labels="2", steps=3, batch="1+1", set=["network.width=4"],
        validations=0, device="cpu",
    )  # fmt: skip
    masks = verbs.predict(out / "run", out=out / "masks", split="test", device="cpu")
    assert sorted(m.name.split(".")[0] for m in masks) == sorted(Store(out / "store").splits.test)
    return verbs.evaluate(out / "masks", data, out=out / "table.csv", workers=1)


def test_nnunet_raw_with_an_ignore_label(tmp_path):
    """Two channels a case; some voxels ignored, some cases unlabeled, the test part labeled."""
    rng, data = np.random.default_rng(0), tmp_path / "data"
    for number in range(6):
        part, name = ("Ts", f"t{number}") if number > 3 else ("Tr", f"c{number}")
        image, label = blob(rng, SHAPE, classes=3)
        label[:, :5] = 9
        for channel in range(2):
            nifti(data / f"images{part}" / f"{name}_000{channel}.nii.gz", image + channel, AFFINE)
        if number != 3:
            nifti(data / f"labels{part}" / f"{name}.nii.gz", label, AFFINE)
    about = {"channel_names": {"0": "T1", "1": "T2"}, "numTraining": 3, "file_ending": ".nii.gz"}
    about["labels"] = {"background": 0, "rim": 1, "core": 2, "ignore": 9}
    (data / "dataset.json").write_text(json.dumps(about))

    table = whole_way(data, tmp_path)
    assert sorted(table["case"].unique()) == ["t4", "t5"] and set(table["structure"]) == {"rim", "core"}
    plan = Store(tmp_path / "store").plan
    assert (plan.channels, plan.ignore_value) == (["T1", "T2"], 9)
    mask, image = (nibabel.load(p) for p in (tmp_path / "masks/t4.nii.gz", data / "imagesTs/t4_0000.nii.gz"))
    np.testing.assert_array_equal(mask.affine, image.affine)
    assert set(np.unique(mask.dataobj)) <= {0, 1, 2}


def test_decathlon_with_channels_along_the_fourth_axis(tmp_path):
    rng, data = np.random.default_rng(0), tmp_path / "data"
    cases = [f"c{number}" for number in range(5)]
    for name in cases:
        image, label = blob(rng, SHAPE)
        nifti(data / "imagesTr" / f"{name}.nii.gz", np.stack([image, -image]), AFFINE)
        nifti(data / "labelsTr" / f"{name}.nii.gz", label, AFFINE)
    training = [{"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in cases]
    about = {"modality": {"0": "FLAIR", "1": "T1w"}, "labels": {"0": "background", "1": "lesion"}, "training": training}
    (data / "dataset.json").write_text(json.dumps(about))

    table = whole_way(data, tmp_path)
    assert set(table["structure"]) == {"lesion"}
    assert Store(tmp_path / "store").plan.channels == ["FLAIR", "T1w"]
    (mask,) = (tmp_path / "masks").glob("*.nii.gz")
    image = nibabel.load(data / "imagesTr" / mask.name)
    assert image.shape == (*SHAPE, 2) and nibabel.load(mask).shape == SHAPE
    np.testing.assert_array_equal(nibabel.load(mask).affine, image.affine)


@pytest.mark.parametrize("shape", [SHAPE, (24, 20)])
def test_h5_files_with_lists(tmp_path, shape):
    """Volumes or slices, by patient; the benchmark's own splits, and masks that go back as h5."""
    rng, data = np.random.default_rng(0), tmp_path / "data"
    lists = {"train": ("p1_a", "p1_b", "p2_a", "p3_a"), "val": ("p4_a",), "test": ("p5_a", "p5_b")}
    for part, names in lists.items():
        for name in names:
            image, label = blob(rng, shape)
            h5(data / "data" / f"{name}.h5", image, label)
        (data / f"{part}.list").write_text("\n".join(names) + "\n")

    table = whole_way(data, tmp_path, group=r"^(p\d)")
    assert sorted(table["case"].unique()) == ["p5_a", "p5_b"]
    splits = Store(tmp_path / "store").splits
    assert splits.folds == (("p4_a",),) and splits.test == ("p5_a", "p5_b")
    with h5py.File(tmp_path / "masks" / "p5_a.h5") as file:
        assert list(file) == ["label"] and file["label"].shape == shape and file["label"].dtype == np.uint8
    perfect = tmp_path / "perfect"
    for name in lists["test"]:
        with h5py.File(data / "data" / f"{name}.h5") as file:
            h5(perfect / f"{name}.h5", label=file["label"][()])
    assert (verbs.evaluate(perfect, data, out=tmp_path / "perfect.csv", workers=1)["dice"] == 1).all()
