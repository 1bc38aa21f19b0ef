"""From DICOM files to figures, and nothing of a patient on the way: not in files, not in what is printed."""

import json

import nibabel
import numpy as np
import pydicom
import pytest
from dicom_files import MR, series
from made import blob

from halfmask import verbs
from halfmask.data.formats import read, write_like
from halfmask.data.layouts import read_index
from halfmask.data.phantom import make_heads
from halfmask.data.store import Store

TELLING = ("Quixotl", "Zebulon", "Wobblewik", "Snorribald", "Gundermuk", "Plixander", "MRN-47", "19370214", "1937-02")


def tree(root):
    """Five patients with two series each; the first is drawn on in four of them. One series' description has a name."""
    rng, images = np.random.default_rng(0), []
    for n, name in enumerate(("Quixotl", "Wobblewik", "Snorribald", "Gundermuk", "Plixander")):
        image, label = blob(rng, (12, 20, 18), classes=3)
        told = {"PatientName": f"{name}^Zebulon", "PatientID": f"MRN-47{n}", "study": name, "kind": MR}
        for number, text in ((1, f"T1 of {name}"), (2, "FLAIR")):
            files = series(
                root / f"p{n}" / f"{number}", (image + 100 * number).astype(np.uint16), turned=(10, 5 * n, -20),
                spacing=(1.5, 1.2, 1.2), series=text, number=number, SeriesDescription=text, suffix="", **told,
            )  # fmt: skip
            images += files[:1] if number == 1 else []
        if n < 4:
            names = {0: "background", 1: "rim", 2: "core"}
            write_like(root / f"p{n}" / "seg" / "drawn", np.transpose(label).astype(np.uint8), images[-1], names=names)
    return root


def test_masks_against_labels_that_a_converter_turned(tmp_path):
    """dcm2niix turns rows round; the place is the same, and another place is still another."""
    rng, names = np.random.default_rng(0), {0: "background", 1: "lesion"}
    image, label = blob(rng, (12, 20, 18))
    first = series(tmp_path / "in", image.astype(np.uint16), turned=(10, 5, -20), spacing=(3, 1, 1.3))[0]
    mask = write_like(tmp_path / "masks" / "a", np.transpose(label).astype(np.uint8), first, names=names)
    straight = nibabel.load(write_like(tmp_path / "a", read(mask)[0][0], first, kind="nifti"))
    for name, flip in (("turned", [[1, -1], [0, 1], [2, -1]]), ("same", [[0, 1], [1, 1], [2, 1]])):
        (tmp_path / name).mkdir()
        nibabel.save(straight.as_reoriented(np.array(flip)), tmp_path / name / "a.nii.gz")
        assert (verbs.evaluate(tmp_path / "masks", tmp_path / name, workers=1)["dice"] == 1).all()
    moved = nibabel.Nifti1Image(straight.dataobj, straight.affine + 2 * np.eye(4, k=3))
    nibabel.save(moved, tmp_path / "same" / "a.nii.gz")
    with pytest.raises(ValueError, match=r"lie 2\.00 mm apart"):
        verbs.evaluate(tmp_path / "masks", tmp_path / "same", workers=1)


def test_the_whole_way_leaves_nothing_of_a_patient(tmp_path, capfd):
    data, out = tree(tmp_path / "in"), tmp_path / "out"
    channels = "T1=^t1,FLAIR"
    faults = verbs.check(data, channels=channels, out=out / "faults.csv", workers=1)
    assert not [f for f in faults if f.severity == "error"], faults
    verbs.prepare(data, out=out / "store", channels=channels, test=0.5, folds=1, workers=1)
    store = Store(out / "store")
    assert store.plan.labels == {"background": 0, "rim": 1, "core": 2} and store.plan.channels == ["T1", "FLAIR"]
    verbs.train(
        "mean_teacher", out / "store", out=out / "run", labels="2", steps=2, batch="1+1", set=["network.width=4"],
        validations=0, device="cpu",
    )  # fmt: skip
    masks = verbs.predict(out / "run", split="test", probability=True, entropy=True, device="cpu")
    assert {mask.suffix for mask in masks} == {".dcm"}
    table = verbs.evaluate(out / "run" / "masks", data, channels=channels, workers=1)
    assert set(table["structure"]) == {"rim", "core"} and len(table) == 2 * len(masks)
    verbs.report([out / "run"], out=out / "report.html")

    mask, case = masks[0], store.sources[masks[0].stem]
    assert [s.SegmentLabel for s in pydicom.dcmread(mask).SegmentSequence] == ["rim", "core"]
    assert read(mask)[1].apart(read(case.images[0])[1]) < 1e-3
    maps = sorted(p.name for p in (out / "run" / "masks" / "entropy").iterdir())
    assert maps == sorted(f"{m.stem}.nii.gz" for m in masks)

    every = verbs.predict(out / "run", data, out=out / "nrrd", format="nrrd", channels=channels, device="cpu")
    assert sorted(p.name for p in every) == sorted(f"{name}.nrrd" for name in store.sources)
    found = verbs.evaluate(out / "nrrd", data, channels=channels, out=out / "nrrd.csv", workers=1)
    assert len(found["case"].unique()) == 4
    verbs.predict(out / "run", data / "p4", out=out / "one", device="cpu")  # by the names of the channels
    about = json.loads((out / "one" / "prediction.json").read_text())
    assert about["cases"][0] in store.sources
    narrow = verbs.check(data, channels="T1=t1|flair", out=out / "narrow.csv", workers=1)
    assert len([f for f in narrow if f.severity == "error"]) == 5

    printed = "".join(capfd.readouterr())
    assert "T1 of …" in printed
    for word in TELLING:
        assert word.lower() not in printed.lower(), word
        for file in out.rglob("*"):
            assert word.lower() not in file.name.lower()
            if file.is_file() and file.suffix != ".dcm":
                assert word.lower().encode() not in file.read_bytes().lower(), (file, word)


def test_dicom_heads_give_the_brains_that_their_nifti_gives(tmp_path):
    size = {"T1": (2.5, 2.5, 2.5), "FLAIR": (2.0, 2.0, 5.0)}
    heads = make_heads(tmp_path / "heads", subjects=1, spacing=size, detail=2.5)
    quick = {"align": False, "skull": "none", "bias": False, "reference": "none", "spacing": 6, "workers": 1}
    for number, name in enumerate(("T1", "FLAIR"), 1):
        image = nibabel.load(heads / f"subject_000_{name}.nii.gz")
        stored = np.asarray(image.dataobj).astype(np.int16).transpose(2, 1, 0)  # slices, rows, columns
        origin = np.array([-1, -1, 1]) * image.affine[:3, 3]
        series(
            tmp_path / "archive" / name, stored, spacing=size[name][::-1], origin=tuple(origin), kind=MR,
            series=name, number=number, SeriesDescription=f"{name} sagittal",
        )  # fmt: skip
    verbs.brain(tmp_path / "archive", out=tmp_path / "dicom", channels="T1,FLAIR", **quick)
    verbs.brain(heads, out=tmp_path / "nifti", channels="T1,FLAIR", **quick)
    (case,) = read_index(tmp_path / "dicom").cases
    assert case.name.startswith("patient-") and case.group in case.name
    for name in ("T1", "FLAIR"):
        ours = read(tmp_path / "dicom" / "subjects" / case.name / f"{name}.nii.gz")
        theirs = read(tmp_path / "nifti" / "subjects" / "subject_000" / f"{name}.nii.gz")
        assert ours[1].apart(theirs[1]) < 0.05
        assert np.abs(ours[0] - theirs[0]).mean() < 2e-3
