import hashlib
import json
from dataclasses import fields, replace

import nibabel
import numpy as np
import pytest
from scipy import ndimage

from halfmask.data.layouts import read_index
from halfmask.data.phantom import LABELS, SCANNERS, VIEW, draw, make_phantoms
from halfmask.data.phantom.anatomy import anatomy
from halfmask.data.phantom.blobs import blobs
from halfmask.data.phantom.scanner import picture

SMALL = (24, 28, 24)


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_folder_is_a_decathlon_data_set(tmp_path):
    make_phantoms(tmp_path / "phantoms", subjects=7, labeled=4, test=2, shape=SMALL)  # leaves no trace
    folder = make_phantoms(tmp_path / "phantoms", subjects=6, labeled=2, test=1, shape=SMALL)
    about = json.loads((folder / "dataset.json").read_text())
    assert about["modality"] == {"0": "T1", "1": "FLAIR"}
    assert about["labels"] == {"0": "background", "1": "lesion", "2": "ventricles"}
    assert (about["numTraining"], about["numTest"]) == (5, 1)
    assert ["label" in case for case in about["training"]] == [True, True, False, False, False]
    assert ["label" in case for case in about["test"]] == [True]
    named = {path for case in about["training"] + about["test"] for key, path in case.items() if key != "domain"}
    assert named == {f"./{p.relative_to(folder)}" for p in folder.rglob("*.nii.gz")}
    assert [case.domain for case in read_index(folder).cases] == ["B", "A", "B", "A", "B", "A"]
    case = about["training"][0]
    image, label = nibabel.load(folder / case["image"]), nibabel.load(folder / case["label"])
    assert image.shape == (*SMALL, 2)
    assert label.shape == SMALL
    assert (image.get_data_dtype(), label.get_data_dtype()) == (np.int16, np.uint8)
    np.testing.assert_array_equal(image.affine, label.affine)
    np.testing.assert_allclose(image.header.get_zooms()[:3], VIEW / SMALL)
    phantom = draw(1, shape=SMALL, scanner="B")
    np.testing.assert_array_equal(np.asanyarray(image.dataobj), np.moveaxis(phantom.image, 0, -1))
    np.testing.assert_array_equal(np.asanyarray(label.dataobj), phantom.label)


def test_the_same_seed_gives_the_same_bytes_however_many_subjects(tmp_path):
    few = digests(make_phantoms(tmp_path / "few", subjects=2, labeled=1, test=1, shape=SMALL))
    again = digests(make_phantoms(tmp_path / "again", subjects=2, labeled=1, test=1, shape=SMALL))
    many = digests(make_phantoms(tmp_path / "many", subjects=4, labeled=2, test=1, shape=SMALL))
    assert few == again
    del few["dataset.json"]
    assert few.items() <= many.items()
    assert not np.array_equal(draw(0, shape=SMALL, seed=1).image, draw(0, shape=SMALL).image)
    assert not np.array_equal(draw(1, shape=SMALL).image, draw(0, shape=SMALL).image)


def test_a_channel_does_not_depend_on_the_others(tmp_path):
    both, flair = draw(3, shape=SMALL), draw(3, shape=SMALL, channels=["FLAIR"])
    np.testing.assert_array_equal(both.image[1:], flair.image)
    np.testing.assert_array_equal(both.label, flair.label)
    folder = make_phantoms(tmp_path, subjects=1, labeled=1, test=0, shape=SMALL, channels=["FLAIR"])
    assert nibabel.load(folder / "imagesTr" / "phantom_000.nii.gz").shape == SMALL


def test_a_structure_can_be_left_out(tmp_path):
    folder = make_phantoms(tmp_path, subjects=1, labeled=1, test=0, shape=SMALL, structures=["lesion"])
    assert json.loads((folder / "dataset.json").read_text())["labels"] == {"0": "background", "1": "lesion"}
    label = np.asanyarray(nibabel.load(folder / "labelsTr" / "phantom_000.nii.gz").dataobj)
    np.testing.assert_array_equal(label, draw(0, shape=SMALL).label == 1)


def test_another_shape_shows_the_same_anatomy():
    fine, thick, other = draw(5), draw(5, shape=(64, 72, 32)), draw(6, shape=(64, 72, 32))
    assert thick.spacing == (2.5, 2.5, 5.0)
    pairs = fine.label.reshape(64, 72, 32, 2)  # the two thin slices in each thick one
    for value, least, most in ((1, 0.6, 0.2), (2, 0.8, 0.6)):
        structure = (pairs == value).mean(3) > 0.4
        assert dice(structure, thick.label == value) > least
        assert dice(structure, other.label == value) < most


@pytest.fixture(scope="module")
def phantoms():
    return [draw(subject, scanner="AB"[subject % 2]) for subject in range(12)]


def test_every_subject_has_every_label_within_the_brain(phantoms):
    for phantom in phantoms:
        assert set(np.unique(phantom.label)) == set(LABELS)
        assert np.all(phantom.image.any(0)[phantom.label > 0])
        assert np.all(phantom.image >= 0)
        assert 50 < np.count_nonzero(phantom.label == 1) < 0.2 * np.count_nonzero(phantom.image[0])


def test_lesions_are_bright_but_no_threshold_finds_them(phantoms):
    best = []
    for phantom in phantoms:
        flair, lesion = phantom.image[1], phantom.label == 1
        assert flair[lesion].mean() > 1.15 * flair[(flair > 0) & ~lesion].mean()
        thresholds = np.linspace(flair[flair > 0].min(), flair.max(), 100)
        best.append(max(dice(flair > threshold, lesion) for threshold in thresholds))
    assert 0.2 < np.mean(best) < 0.5


def test_in_every_subject_something_as_bright_is_no_lesion(phantoms):
    for phantom in phantoms:
        flair, lesion = ndimage.uniform_filter(phantom.image[1].astype(float), 3), phantom.label == 1
        bright = flair > np.median(flair[lesion])
        far = ndimage.distance_transform_edt(~lesion, sampling=phantom.spacing) > 7.5
        assert np.count_nonzero(bright & far) > 0.1 * np.count_nonzero(bright)


def test_another_scanner_shows_the_same_brain_more_blurred():
    fine, old = draw(2, shape=SMALL, scanner="A"), draw(2, shape=SMALL, scanner="B")
    np.testing.assert_array_equal(fine.label, old.label)
    np.testing.assert_array_equal(fine.image > 0, old.image > 0)
    tissues = anatomy(np.random.default_rng(0), (32, 36, 80))
    clean = replace(SCANNERS["A"], noise=(0, 0), bias=0)
    edges = []
    for scanner in (clean, replace(clean, blur=SCANNERS["B"].blur)):
        image = picture(np.random.default_rng(1), scanner, "T1", tissues)
        edges.append(np.abs(np.diff(image / image.max(), axis=2)).mean())
    assert edges[1] < 0.9 * edges[0]


def test_what_a_tissue_is_adds_up_and_the_two_sides_differ():
    tissues = anatomy(np.random.default_rng(0), SMALL)
    np.testing.assert_allclose(tissues.gray + tissues.white + tissues.fluid, 1, rtol=1e-5)
    for share in (getattr(tissues, field.name) for field in fields(tissues)):
        assert share.shape == SMALL and share.min() >= 0 and share.max() <= 1
    assert np.all(tissues.ventricles <= tissues.fluid)
    assert np.abs(tissues.white - tissues.white[::-1]).mean() > 0.02


def test_earlier_cohorts_stay_what_they_were():
    """Published figures rest on them."""
    for scanner, sums in (("A", (17573560, 19752542)), ("B", (9319228, 10049925))):
        phantom = draw(3, shape=(40, 44, 40), scanner=scanner)
        np.testing.assert_allclose(phantom.image.sum((1, 2, 3), dtype=float), sums, rtol=1e-4)
    assert [np.count_nonzero(phantom.label == value) for value in (1, 2)] == pytest.approx([144, 504], abs=2)


def test_lesions_of_the_field_strengths_are_many_and_small_with_a_few_grown_together():
    volumes = []
    for subject in range(4):
        lesion = draw(subject, shape=(64, 72, 64), channels=["FLAIR"], scanner="3T").label == 1
        parts, count = ndimage.label(lesion, np.ones((3, 3, 3)))
        volumes.append(ndimage.sum(lesion, parts, range(1, count + 1)) * 2.5**3)
    loads = [each.sum() / 1000 for each in volumes]
    assert 2 < np.median(loads) < 30 and max(loads) > 3 * min(loads)
    assert np.median([len(each) for each in volumes]) > 20
    assert np.median(np.concatenate(volumes)) < 100
    assert np.mean([each.max() / each.sum() for each in volumes]) > 0.2


def test_7t_shows_the_brain_of_3t_brighter_in_the_middle():
    low, high = draw(0, shape=(64, 72, 64), scanner="3T"), draw(0, shape=(64, 72, 64), scanner="7T")
    np.testing.assert_array_equal(low.label, high.label)
    steps = np.stack(np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in low.label.shape), indexing="ij"))
    out = np.sqrt((steps**2).sum(0)) * 2.5
    ratio = []
    for image in (low.image[1], high.image[1]):
        brain = (image > 0) & (low.label == 0)
        ratio.append(np.median(image[brain & (out < 30)]) / np.median(image[brain & (out > 60)]))
    assert ratio[1] > 1.3 * ratio[0]


def test_a_blob_has_the_volume_asked_for():
    everywhere, flat = np.ones((40, 45, 40), bool), np.zeros((64, 64, 64))
    everywhere[:, :, :15] = everywhere[:, :, -15:] = everywhere[:15] = everywhere[-15:] = False
    for seed in range(5):
        depth = blobs(np.random.default_rng(seed), (2.0, 2.0, 2.0), flat, everywhere, np.array([2000.0]))
        assert np.count_nonzero(depth > 0) * 8 == pytest.approx(2000, rel=0.15)


def test_contrast_differs_between_subjects(phantoms):
    levels = [np.median(phantom.image[0][phantom.image[0] > 0]) for phantom in phantoms]
    assert np.std(levels) > 0.1 * np.mean(levels)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"channels": ["FLAIRR"]}, "did you mean 'FLAIR'"),
        ({"shape": (64, 64)}, r"shape \(64, 64\)"),
        ({"scanners": ["Z"]}, "no scanner is called 'Z'"),
        ({"structures": ["lesions"]}, "did you mean 'lesion'"),
        ({"subjects": 3, "labeled": 3, "test": 1}, "1 test and 3 labeled"),
    ],
)
def test_faulty_arguments_write_nothing(tmp_path, fault, told):
    with pytest.raises(ValueError, match=told):
        make_phantoms(tmp_path / "new", **fault)
    assert not (tmp_path / "new").exists()
