"""Raw heads, whose brains and transforms are known, through `halfmask brain` and what comes after it."""

import json
import shutil

import nibabel
import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import yaml
from filelock import FileLock

from halfmask import verbs
from halfmask.brain import bias
from halfmask.brain import subject as subject_of
from halfmask.brain.back import bring_back
from halfmask.brain.cohort import bring_all
from halfmask.brain.normalization import QUANTILES, learn, scale
from halfmask.brain.settings import Settings
from halfmask.brain.write import read_steps
from halfmask.data.formats import read
from halfmask.data.layouts import read_index
from halfmask.data.phantom import make_heads
from halfmask.data.plan import read_plan
from halfmask.data.split import read_splits
from halfmask.verbs.heads import is_brains

pytest.importorskip("deepbet", reason="needs halfmask[brain]")

SPACING = {"T1": (2.5, 2.5, 2.5), "FLAIR": (2.0, 2.0, 5.0)}
HEADS = {"channels": "T1,FLAIR", "label": "lesions", "workers": 1}


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """A folder that all processes of this run of tests see."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if own.name.startswith("popen-") else own


@pytest.fixture(scope="session")
def heads(shared):
    with FileLock(shared / "heads.lock"):
        if not (shared / "heads").exists():
            make_heads(shared / "heads", subjects=2, spacing=SPACING, detail=2.5)
    return shared / "heads"


@pytest.fixture(scope="session")
def brains(heads, shared):
    with FileLock(shared / "brains.lock"):
        if not (shared / "brains" / "cases.csv").exists():
            with pytest.MonkeyPatch.context() as quick:
                quick.setattr(bias, "FITTED", 8.0)
                quick.setattr(subject_of, "ROUGH", 4.0)
                verbs.brain(heads, out=shared / "brains", spacing=2.0, **HEADS)
    return shared / "brains"


def subject(brains, number=0):
    return brains / "subjects" / f"subject_{number:03d}"


def matrix(folder, name):
    """(4, 4) of a transform file, in our axes: right, anterior, superior."""
    transform = sitk.Euler3DTransform(sitk.ReadTransform(str(folder / name)))
    points = np.array([transform.TransformPoint(p) for p in np.vstack([np.zeros(3), np.eye(3)]).tolist()])
    whole = np.eye(4)
    whole[:3, :3], whole[:3, 3] = (points[1:] - points[0]).T, points[0]
    turn = np.diag([-1, -1, 1, 1])
    return turn @ whole @ turn


def brain_points(heads, name):
    image = nibabel.load(heads / "truth" / f"{name}_brain.nii.gz")
    voxels = np.argwhere(np.asarray(image.dataobj) > 0)[::50]
    return (image.affine @ np.c_[voxels, np.ones(len(voxels))].T)[:3]


@pytest.mark.parametrize("number", range(2))
def test_transforms_and_masks_are_the_true_ones(heads, brains, number):
    name = f"subject_{number:03d}"
    folder = subject(brains, number)
    points = np.vstack([brain_points(heads, name), np.ones((1, len(brain_points(heads, name)[0])))])
    apart = lambda found, truth: np.linalg.norm(((found - truth) @ points)[:3], axis=0).mean()
    to_flair = np.linalg.inv(np.loadtxt(heads / "truth" / f"{name}_flair_to_t1.txt"))
    assert apart(matrix(folder, "T1_to_FLAIR.tfm"), to_flair) < 1.0
    assert apart(np.eye(4), to_flair) > 3
    to_template = np.loadtxt(heads / "truth" / f"{name}_t1_to_template.txt")
    u, _, v = np.linalg.svd(to_template[:3, :3])
    turn = np.linalg.inv(matrix(folder, "reference_to_T1.tfm"))[:3, :3]
    assert np.degrees(np.arccos((np.trace(turn.T @ u @ v) - 1) / 2)) < 4
    found = read(folder / "T1_as_scanned_mask.nii.gz")[0][0] > 0
    truth = read(heads / "truth" / f"{name}_brain.nii.gz")[0][0] > 0
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.93


def test_images_are_normalized_within_the_brain_and_0_around_it(brains):
    for name in ("T1", "FLAIR"):
        image, grid = read(subject(brains) / f"{name}.nii.gz")
        inside = read(subject(brains) / "brain_mask.nii.gz")[0] > 0
        np.testing.assert_allclose(grid.spacing, 2.0, rtol=1e-4)
        assert (image[~inside] == 0).all() and image.min() == 0 and image.max() == 1
        assert 0.3 < np.median(image[inside]) < 0.8
        assert 0 < (image[inside] == 0).mean() < 0.01


def test_labels_come_along_with_the_image_that_they_were_drawn_on(heads, brains):
    array, grid = read(subject(brains) / "label.nii.gz")
    label = array[0]
    flair = read(subject(brains) / "FLAIR.nii.gz")[0][0]
    inside = read(subject(brains) / "brain_mask.nii.gz")[0][0] > 0
    before, own = read(heads / "subject_000_lesions.nii.gz")
    assert set(np.unique(label)) == {0, 1}
    assert label.sum() * np.prod(grid.spacing) == pytest.approx(before.sum() * np.prod(own.spacing), rel=0.2)
    assert flair[label > 0].mean() > 1.15 * flair[inside & (label == 0)].mean()
    assert json.loads((subject(brains) / "steps.json").read_text())["figures"]["label_drawn_on"] == "FLAIR"


def test_a_person_can_look_at_everything(brains):
    steps = json.loads((subject(brains) / "steps.json").read_text())
    assert set(steps["files"]) >= {"sheet.png", "T1_log_bias.nii.gz", "T1_to_FLAIR.tfm", "reference_to_T1.tfm"}
    assert steps["settings"]["skull"] == "deepbet" and steps["figures"]["milliliters"] > 1000
    assert set(steps["figures"]["seconds"]) == {"align", "skull", "bias", "reference", "resample"}
    page = (brains / "quality.html").read_text()
    assert all(f'src="subjects/subject_{n:03d}/sheet.png"' in page for n in range(2))
    sheet = np.asarray(read(subject(brains) / "sheet.png")[0])
    amber = (sheet == np.array([255, 176, 0]).reshape(3, 1, 1, 1)).all(0)
    assert amber.sum() > 3000  # the brain's outline, in 18 planes


def test_what_is_there_is_kept_and_what_changed_is_made_anew(heads, brains, tmp_path, capfd):
    raw, out = tmp_path / "raw", tmp_path / "out"
    shutil.copytree(brains, out)
    shutil.copytree(heads, raw)  # copies keep the times of files
    stamp = lambda n: (subject(out, n) / "steps.json").stat().st_mtime_ns
    before = stamp(0)
    verbs.brain(raw, out=out, spacing=2.0, **HEADS)
    assert "2 of 2 subjects are there already" in capfd.readouterr().err
    broken = raw / "subject_001_T1.nii.gz"
    broken.write_bytes(broken.read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"1 of 2 subjects were not brought:\ncase 'subject_001'"):
        verbs.brain(raw, out=out, spacing=2.0, **HEADS)
    assert "1 of 2 subjects are there already" in capfd.readouterr().err
    assert stamp(0) == before
    assert list(pd.read_csv(out / "cases.csv")["case"]) == ["subject_000"]


def test_other_settings_for_a_folder_are_refused(heads, brains, tmp_path):
    with pytest.raises(ValueError, match=r"spacing is 2.0 there, 0.9 was asked for"):
        verbs.brain(heads, out=brains, **HEADS)
    with pytest.raises(ValueError, match="was not made by brain"):
        verbs.brain(heads, out=heads, spacing=2.0, **HEADS)
    with pytest.raises(ValueError, match="'template'"):
        verbs.brain(heads, out=tmp_path / "out", reference="templat", **HEADS)


def test_landmarks_are_learned_outside_the_test_part_and_kept(heads, brains, tmp_path):
    out = tmp_path / "nyul"
    shutil.copytree(brains, out)
    settings = Settings(spacing=2.0, normalization="nyul")
    (out / "brain.yaml").write_text(yaml.safe_dump(settings.model_dump(mode="json")))
    index = read_index(heads, channels={"T1": "T1", "FLAIR": "FLAIR"}, label="lesions")
    bring_all(index, out, settings, learn_from=["subject_000"])
    steps = [json.loads((subject(brains, n) / "steps.json").read_text())["landmarks"]["T1"] for n in range(2)]
    shares = lambda own: (np.array(own) - own[0]) / (own[-1] - own[0])
    there = yaml.safe_load((out / "brain.yaml").read_text())["landmarks"]["T1"]
    np.testing.assert_allclose(there, shares(steps[0]), atol=1e-4)
    plain, inside = read(subject(brains, 1) / "T1.nii.gz")[0], read(subject(brains, 1) / "brain_mask.nii.gz")[0] > 0
    brought = read(subject(out, 1) / "T1.nii.gz")[0]
    by_hand = np.interp(plain[inside], shares(steps[1]), there)
    np.testing.assert_allclose(brought[inside], by_hand, atol=1e-4)
    assert (brought[~inside] == 0).all()
    bring_all(index, out, settings, learn_from=["subject_001"])  # what is learned stays
    np.testing.assert_array_equal(read(subject(out, 1) / "T1.nii.gz")[0], brought)
    assert len(QUANTILES) == len(there) and scale(np.array([0.0]), np.array(steps[0]), there)[0] == 0


def test_masks_come_back_to_the_scan(heads, brains, tmp_path):
    found = tmp_path / "found"
    found.mkdir()
    shutil.copy(subject(brains) / "brain_mask.nii.gz", found / "subject_000.nii.gz")
    (case, *_) = read_index(heads, channels={"T1": "T1", "FLAIR": "FLAIR"}).cases
    (written,) = bring_back([case], brains, found, tmp_path / "out")
    back, grid = read(written)
    scan, own = read(case.images[0])
    assert back.shape == scan.shape and grid.apart(own) < 1e-3
    mask = read(subject(brains) / "T1_as_scanned_mask.nii.gz")[0] > 0
    assert 2 * ((back > 0) & mask).sum() / ((back > 0).sum() + mask.sum()) > 0.97


def test_prepare_makes_brains_by_the_plan_and_predict_does_the_same_to_new_heads(heads, tmp_path, capfd):
    """Without the steps that take longest."""
    store, run = tmp_path / "store", tmp_path / "run"
    brain = "brain={skull: none, bias: false, align: false, reference: none, spacing: 6, normalization: nyul}"
    options = {"out": store, "test": 0.34, "dims": 2, "set": [brain, "patch=32,32"], **HEADS}
    verbs.prepare(heads, **options)
    plan = read_plan(store / "plan.yaml")
    assert plan.brain is not None and set(plan.brain["landmarks"]) == {"T1", "FLAIR"}
    np.testing.assert_allclose(plan.axis_spacing, 6, rtol=1e-3)
    ((own,), *_) = read_splits(store / "splits.yaml", read_index(store / "brains").cases).orders
    known = {c: np.array(q) for c, q in read_steps(store / "brains" / "subjects" / own)["landmarks"].items()}
    assert plan.brain["landmarks"] == {c: list(q) for c, q in learn([known]).items()}  # not of the sealed one
    verbs.prepare(heads, **options)  # nothing to do, and nothing disagrees
    with pytest.raises(ValueError, match="reference"):
        verbs.prepare(heads, out=tmp_path / "other", set=["brain={reference: subject_000}"], **HEADS)
    verbs.train("supervised", store, out=run, steps=2, batch="2", validations=0, set=["network.width=4"], device="cpu")
    verbs.predict(run, split="test", device="cpu")
    assert len(verbs.predict(run, store / "brains", out=tmp_path / "again", device="cpu")) == 2
    assert not (tmp_path / "again" / "brains").exists() and "other settings" not in capfd.readouterr().err
    (tmp_path / "brain.yaml").write_text("spacing: 3")
    assert is_brains(tmp_path, plan) and "spacing is 3.0 there, 6.0 was asked for" in capfd.readouterr().err
    (tmp_path / "brain.yaml").unlink()
    new = tmp_path / "new"
    new.mkdir()
    for name in ("T1", "FLAIR"):
        shutil.copy(heads / f"subject_001_{name}.nii.gz", new / f"someone_{name}.nii.gz")
    (mask,) = verbs.predict(run, new, out=tmp_path / "masks", device="cpu", entropy=True)
    grid = read(mask)[1]
    assert grid.apart(read(new / "someone_T1.nii.gz")[1]) < 1e-3
    about = json.loads((tmp_path / "masks" / "prediction.json").read_text())
    assert about["images"]["someone"][0].endswith("new/someone_T1.nii.gz")
    assert (tmp_path / "masks" / "entropy" / "someone.nii.gz").exists()
    assert (tmp_path / "masks" / "brains" / "quality.html").exists()
    for name in ("T1", "FLAIR"):
        (new / f"another_{name}.nii.gz").write_bytes(b"no scan")
    with pytest.raises(ValueError, match=r"1 of 2 subjects were not brought:\ncase 'another'"):
        verbs.predict(run, new, out=tmp_path / "masks", device="cpu", entropy=True, format="nrrd")
    for folder in (tmp_path / "masks", tmp_path / "masks" / "entropy"):
        assert {p.name for p in folder.glob("*.n*")} == {"someone.nrrd"}  # and not that from before
    edited = yaml.safe_load((store / "plan.yaml").read_text())
    edited["brain"] = {**yaml.safe_load(brain.removeprefix("brain=")), "normalization": "percentile"}
    (store / "plan.yaml").write_text(yaml.safe_dump(edited))
    with pytest.raises(ValueError, match="normalization is percentile there, nyul was asked for"):
        verbs.prepare(heads, **options)
    verbs.prepare(heads, out=store, **HEADS)
    assert {read_steps(subject(store / "brains", n))["normalized"] for n in range(2)} == {"percentile"}
    edited["brain"] |= {"normalization": "nyul", "spacing": 7}
    (store / "plan.yaml").write_text(yaml.safe_dump(edited))
    verbs.prepare(heads, out=store, **HEADS)
    assert read_plan(store / "plan.yaml").brain["landmarks"] == read_steps(subject(store / "brains"))["normalized"]
    assert read(subject(store / "brains") / "T1.nii.gz")[1].spacing == (7, 7, 7)


QUICK = {"skull": "none", "bias": False, "align": False, "reference": "none", "spacing": 6.0, "workers": 1}


@pytest.fixture
def balls(tmp_path):
    """Two small scans of two channels in one file, stripped, some below 0, and a label."""
    x = np.linalg.norm(np.indices((20, 20, 20)) - 9.5, axis=0)
    inside, rng = x < 8, np.random.default_rng(0)
    affine = np.diag([4.0, 4, 4, 1])
    lines = ["case,image,label,group,domain,split,age"]
    for name, split in (("a", "train"), ("b", "test")):
        image = np.where(inside[..., None], rng.normal(0, 3, (20, 20, 20, 2)), -100).astype(np.float32)
        nibabel.save(nibabel.Nifti1Image(image, affine), tmp_path / f"{name}.nii.gz")
        label = np.select([x < 3, x < 5, x < 6], [255, 2, 1], 0).astype(np.float64)
        nibabel.save(nibabel.Nifti1Image(label, affine), tmp_path / f"{name}_label.nii.gz")
        lines.append(f"{name},{name}.nii.gz,{name}_label.nii.gz,one,site {name},{split},{40 + (name == 'b')}")
    (tmp_path / "cases.csv").write_text("\n".join(lines))
    return tmp_path


def test_what_a_table_says_goes_along(balls):
    out = verbs.brain(balls, out=balls / "out", **QUICK)
    table = pd.read_csv(out / "cases.csv")
    assert list(table) == ["case", "image_channel0", "image_channel1", "label", "group", "domain", "split"]
    assert table["domain"].tolist() == ["site a", "site b"] and table["split"].tolist() == ["train", "test"]
    label = nibabel.load(out / "subjects" / "a" / "label.nii.gz")
    assert set(np.unique(label.dataobj)) == {0, 1, 2, 255} and label.get_data_dtype() == np.int32
    found = read_index(verbs.brain(balls, out=balls / "whole", classes="age", **QUICK), classes=["age"])
    assert [(case.target, case.mask.name) for case in found.cases] == [((0,), "label.nii.gz"), ((1,), "label.nii.gz")]
    with pytest.raises(ValueError, match="none of them was brought"):  # all cases are of one patient, who is tested
        verbs.brain(balls, out=balls / "nyul", normalization="nyul", **QUICK)


def test_a_chosen_subject_is_whole_though_some_of_it_was_below_0(balls):
    out = verbs.brain(balls, out=balls / "out", **(QUICK | {"reference": "a"}))
    chosen = nibabel.load(out / "reference.nii.gz").get_fdata() > 0
    voxels = (np.linalg.norm(np.indices((20, 20, 20)) - 9.5, axis=0) < 8).sum()
    assert chosen.sum() * 6**3 == pytest.approx(voxels * 4**3, rel=0.05)
    assert json.loads((out / "subjects" / "a" / "steps.json").read_text())["figures"]["to_reference"]["mm"] < 3


@pytest.mark.parametrize(("channels", "voxels", "says"), [
    (["label", "FLAIR"], None, "a modality cannot be called label"),
    (["T1"], None, "has 2 images, 1 are expected"),
    (["T1", "FLAIR"], np.full((20, 20, 20), 0.4), "case 'a': .* not whole numbers"),
    (["T1", "FLAIR"], np.ones((19, 20, 20)), "case 'a': .* on the grid of none"),
])  # fmt: skip
def test_what_cannot_be_is_told_by_case_before_the_work(balls, channels, voxels, says, monkeypatch):
    (balls / "dataset.yaml").write_text(yaml.safe_dump({"channels": channels}))
    if voxels is not None:
        nibabel.save(nibabel.Nifti1Image(voxels.astype(np.float32), np.diag([4.0, 4, 4, 1])), balls / "a_label.nii.gz")
        (balls / "cases.csv").write_text("\n".join((balls / "cases.csv").read_text().splitlines()[:2]))
        monkeypatch.setattr("halfmask.brain.subject.brain_mask", None)
    with pytest.raises(ValueError, match=says):
        verbs.brain(balls, out=balls / "out", **QUICK)


def test_new_subjects_need_the_modalities_that_landmarks_are_of(balls):
    (balls / "dataset.yaml").write_text(yaml.safe_dump({"channels": ["T1", "FLAIR"]}))
    settings = Settings(**{k: v for k, v in QUICK.items() if k != "workers"}, normalization="nyul",
                        landmarks={"T1": tuple(np.linspace(0, 1, len(QUANTILES)))})  # fmt: skip
    with pytest.raises(ValueError, match="landmarks: of T1, the modalities are T1, FLAIR"):
        bring_all(read_index(balls), balls / "out", settings)


def test_what_a_modality_does_not_show_is_told(balls):
    image = nibabel.load(balls / "a.nii.gz")
    whole = np.asarray(image.dataobj)[..., 0]
    half = np.diag([-4.0, 4, 4, 1])  # the right half of it, counted to the left
    half[0, 3] = 4.0 * 19
    nibabel.save(nibabel.Nifti1Image(whole, image.affine), balls / "s_T1.nii.gz")
    nibabel.save(nibabel.Nifti1Image(np.ascontiguousarray(whole[:9:-1]), half), balls / "s_FLAIR.nii.gz")
    row = "case,image_T1,image_FLAIR\ns,s_T1.nii.gz,s_FLAIR.nii.gz"
    (balls / "cases.csv").write_text(row)
    out = verbs.brain(balls, out=balls / "out", **(QUICK | {"spacing": 4.0}))
    steps = read_steps(out / "subjects" / "s")
    assert [flag for flag in steps["flags"] if "outside" in flag] == ["50% of the brain lies outside what FLAIR shows"]
    t1, flair = (read(out / "subjects" / "s" / f"{name}.nii.gz")[0][0] for name in ("T1", "FLAIR"))
    np.testing.assert_allclose(flair[:10], t1[:10], atol=0.05)  # what is not seen does not change the scale
    assert (flair[10:] == 0).all()
