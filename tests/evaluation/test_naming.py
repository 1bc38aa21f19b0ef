"""Clusters get the names of classes from labels."""

import itertools
import json

import nibabel
import numpy as np
import pytest
from PIL import Image

from halfmask import verbs
from halfmask.evaluation import note
from halfmask.evaluation.naming import assigned
from halfmask.report.gather import read_entry
from halfmask.report.pictures import case_pictures


def test_it_is_the_best_of_all_namings():
    rng = np.random.default_rng(0)
    for _ in range(20):
        overlap = rng.integers(0, 100, (4, 4))
        right = lambda classes, table=overlap: sum(table[k, c] for k, c in enumerate(classes))
        assert right(assigned(overlap)) == max(map(right, itertools.permutations(range(4))))


def test_clusters_left_over_join_the_class_they_overlap_most():
    overlap = np.array([[50, 1], [40, 3], [2, 30], [4, 9]])
    assert assigned(overlap) == [0, 0, 1, 1]
    assert assigned(np.array([[9, 8], [9, 8]])) in ([0, 1], [1, 0])  # one for each, though both overlap class 0 most
    assert assigned(np.array([[5, 9, 1]])) == [1]  # and a class may get none


@pytest.fixture
def folders(tmp_path):
    """Two cases of three clusters: 2 is background, 0 liver, 1 tumor; in the second some of the tumor is missed."""
    rng = np.random.default_rng(0)
    (tmp_path / "labels").mkdir()
    (tmp_path / "masks").mkdir()
    for name in "ab":
        label = rng.choice([0, 1, 7], (6, 7, 8), p=[0.6, 0.3, 0.1]).astype(np.uint8)
        clusters = np.select([label == 0, label == 1], [2, 0], 1).astype(np.uint8)
        clusters[0] = 2 if name == "b" else clusters[0]
        for part, array in (("labels", label), ("masks", clusters)):
            nibabel.save(nibabel.Nifti1Image(array, np.diag([1, 2, 3, 1])), tmp_path / part / f"{name}.nii.gz")
    nibabel.save(nibabel.Nifti1Image(label.astype(np.int16), np.diag([1, 2, 3, 1])), tmp_path / "image.nii.gz")
    told = {"labels": {"background": 0, "liver": 1, "tumor": 7}, "regions": {}, "ignore": None, "clusters": 3}
    told |= {"cases": ["a", "b"], "images": {"a": [str(tmp_path / "image.nii.gz")]}}
    (tmp_path / "masks" / "prediction.json").write_text(json.dumps(told))
    return tmp_path


def test_clusters_in_another_order_are_measured_as_what_they_are(folders, capsys):
    table = verbs.evaluate(folders / "masks", folders / "labels", workers=1)
    dice = table.set_index(["case", "structure"])["dice"]
    assert dice["a", "liver"] == dice["a", "tumor"] == 1 and 0.5 < dice["b", "tumor"] < 1
    told = capsys.readouterr().out
    assert "The labels of these 2 cases named the clusters: 0 is liver, 1 is tumor, 2 is background" in told
    named = nibabel.load(folders / "masks" / "named" / "a.nii.gz")
    np.testing.assert_array_equal(named.dataobj, nibabel.load(folders / "labels" / "a.nii.gz").dataobj)
    assert named.affine[2, 2] == 3
    assert note.read(folders / "masks").named == ("liver", "tumor", "background")
    again = verbs.evaluate(folders / "masks", folders / "labels", workers=1)  # the clusters are still there
    assert again.equals(table)


def test_the_report_shows_the_named_masks(folders):
    verbs.evaluate(folders / "masks", folders / "labels", workers=1)
    entry = read_entry("ours", folders / "masks")
    _, row = case_pictures("a", [entry], "x")
    assert not row.note and row.cells
    assert entry.evaluation.masks.resolve() == (folders / "masks" / "named").resolve()


def test_ignored_voxels_name_nothing(folders):
    about = folders / "masks" / "prediction.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"labels": {"background": 0, "liver": 1}, "ignore": 7}))
    verbs.evaluate(folders / "masks", folders / "labels", workers=1)
    assert set(note.read(folders / "masks").named) == {"background", "liver"}


def test_what_is_no_mask_of_clusters_is_named(folders):
    nibabel.save(nibabel.Nifti1Image(np.full((6, 7, 8), 9, np.uint8), np.eye(4)), folders / "masks" / "a.nii.gz")
    with pytest.raises(ValueError, match=r"case 'a': mask and label lie .* apart"):
        verbs.evaluate(folders / "masks", folders / "labels", workers=1)
    grid = np.diag([1, 2, 3, 1])
    nibabel.save(nibabel.Nifti1Image(np.full((6, 7, 8), 9, np.uint8), grid), folders / "masks" / "a.nii.gz")
    with pytest.raises(ValueError, match=r"case 'a': .* should hold clusters 0 to 2; predict anew"):
        verbs.evaluate(folders / "masks", folders / "labels", workers=1)


def test_pictures_keep_their_format(tmp_path):
    for part, array in (("labels", [[0, 255], [255, 255]]), ("masks", [[1, 0], [0, 0]])):
        (tmp_path / part).mkdir()
        Image.fromarray(np.array(array, np.uint8)).save(tmp_path / part / "a.png")
    told = {"labels": {"skin": 0, "lesion": 255}, "regions": {}, "ignore": None, "clusters": 2, "cases": ["a"]}
    (tmp_path / "masks" / "prediction.json").write_text(json.dumps(told))
    assert verbs.evaluate(tmp_path / "masks", tmp_path / "labels", workers=1)["dice"].tolist() == [1]
    assert np.asarray(Image.open(tmp_path / "masks" / "named" / "a.png")).tolist() == [[0, 255], [255, 255]]
