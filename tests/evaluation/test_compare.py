import json

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from halfmask.data.formats import read
from halfmask.evaluation.compare import compare
from halfmask.evaluation.metrics import distances

SPACING = (1.0, 2.0, 3.0)


def write(path, array, spacing=SPACING, shift=0.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
    else:
        affine = np.diag([*spacing, 1.0])
        affine[0, 3] = shift
        nibabel.save(nibabel.Nifti1Image(array, affine), path)


def label(*parts, shape=(8, 9, 10)):
    """Values in boxes: (value, start, stop) along the first axis."""
    array = np.zeros(shape, np.uint8)
    for value, start, stop in parts:
        array[start:stop, 2:7, 2:8] = value
    return array


def described(folder, **about):
    told = {"labels": {"background": 0, "liver": 1, "tumor": 2}, "regions": {}, "ignore": None} | about
    (folder / "prediction.json").write_text(json.dumps(told))


def rows(table):
    return {(r["case"], r["structure"]): r for r in table.to_dict("records")}


@pytest.fixture
def masks(tmp_path):
    """Two cases: a perfect one, and one where the tumor is half missed."""
    for part in ("labels", "masks"):
        write(tmp_path / part / "a.nii.gz", label((1, 1, 5), (2, 5, 7)))
    write(tmp_path / "labels" / "b.nii.gz", label((1, 1, 3), (2, 3, 7)))
    write(tmp_path / "masks" / "b.nii.gz", label((1, 1, 3), (2, 3, 5)))
    return tmp_path


def test_perfect_masks_are_perfect_and_others_are_not(masks):
    found = rows(compare(masks / "masks", masks / "labels"))
    assert set(found) == {(c, s) for c in "ab" for s in ("class 1", "class 2")}
    for at in (("a", "class 1"), ("a", "class 2"), ("b", "class 1")):
        assert found[at]["dice"] == found[at]["iou"] == 1
        assert found[at]["hd95"] == found[at]["assd"] == found[at]["hd"] == 0
    assert found["b", "class 2"]["dice"] == pytest.approx(2 * 2 / (4 + 2))
    assert found["b", "class 2"]["hd"] == pytest.approx(2.0), "mm along the first axis"


def test_names_and_regions_are_those_that_predict_noted(masks):
    described(masks / "masks")
    assert set(compare(masks / "masks", masks / "labels")["structure"]) == {"liver", "tumor"}
    described(masks / "masks", regions={"whole": ["liver", "tumor"]})
    found = rows(compare(masks / "masks", masks / "labels"))
    assert set(found) == {("a", "whole"), ("b", "whole")}
    assert found["b", "whole"]["dice"] == pytest.approx(2 * 4 / (6 + 4))


def partly(masks):
    """Of case b only the first five slices are annotated; the mask has more tumor behind them."""
    array = label((1, 1, 3), (2, 3, 7))
    array[5:] = 9
    write(masks / "labels" / "b.nii.gz", array)
    write(masks / "masks" / "b.nii.gz", label((1, 1, 3), (2, 3, 7)))


def test_ignored_voxels_do_not_count(masks):
    partly(masks)
    described(masks / "masks", ignore=9)
    assert rows(compare(masks / "masks", masks / "labels"))["b", "tumor"]["dice"] == 1


def test_the_ignored_value_can_be_given(masks):
    """It is then no structure of undescribed labels, and goes before what was noted."""
    partly(masks)
    found = rows(compare(masks / "masks", masks / "labels", ignore=9))
    assert set(found) == {(c, s) for c in "ab" for s in ("class 1", "class 2")}
    assert found["b", "class 2"]["dice"] == 1
    described(masks / "masks", ignore=None)
    assert rows(compare(masks / "masks", masks / "labels"))["b", "tumor"]["dice"] == pytest.approx(2 / 3)
    assert rows(compare(masks / "masks", masks / "labels", ignore=9))["b", "tumor"]["dice"] == 1


def test_a_data_set_gives_labels_and_their_names(masks):
    for case in "abc":
        write(masks / "images" / f"{case}.nii.gz", label())
    (masks / "dataset.yaml").write_text("labels: {background: 0, liver: 1, tumor: 2}")
    table = compare(masks / "masks", masks)
    assert set(table["case"]) == {"a", "b"}, "only what was predicted is measured"
    assert set(table["structure"]) == {"liver", "tumor"}
    assert list(table["case"]) == sorted(table["case"])


def test_masks_without_a_label_are_all_named(masks):
    for name in "xy":
        write(masks / "masks" / f"{name}.nii.gz", label())
    with pytest.raises(ValueError, match=r"2 masks have no label in .*labels: x, y"):
        compare(masks / "masks", masks / "labels")


def test_cases_that_the_data_set_has_without_a_label_are_left_out_and_told(masks, capsys):
    """As of a Decathlon set, whose test part has images alone."""
    for case in "abcd":
        write(masks / "images" / f"{case}.nii.gz", label())
    for case in "cd":
        write(masks / "masks" / f"{case}.nii.gz", label())
    assert set(compare(masks / "masks", masks)["case"]) == {"a", "b"}
    assert "2 of 4 cases have no label and count nowhere: c, d" in capsys.readouterr().err
    write(masks / "masks" / "x.nii.gz", label())
    with pytest.raises(ValueError, match=r"1 masks have no label in .*: x$"):
        compare(masks / "masks", masks)
    for case in "abx":
        (masks / "masks" / f"{case}.nii.gz").unlink()
    with pytest.raises(ValueError, match=r"none of the 2 masks has a label in .*: c, d"):
        compare(masks / "masks", masks)


def test_masks_of_other_runs_are_left_out_and_told(masks, capsys):
    described(masks / "masks", cases=["b"])
    assert set(compare(masks / "masks", masks / "labels")["case"]) == {"b"}
    assert "1 masks are not noted in" in (told := capsys.readouterr().err)
    assert "prediction.json and count nowhere: a" in told
    described(masks / "masks", cases=["lost"])
    with pytest.raises(ValueError, match=r"masks holds none of the 1 masks that prediction\.json notes; predict anew"):
        compare(masks / "masks", masks / "labels")


@pytest.mark.parametrize(
    ("file", "content"), [("dataset.yaml", "labels: [1"), ("dataset.json", "{"), ("cases.csv", "name,file\n")]
)
def test_a_broken_data_set_is_no_folder_of_labels(masks, file, content):
    write(masks / "images" / "a.nii.gz", label())
    (masks / file).write_text(content)
    with pytest.raises(ValueError, match=file):
        compare(masks / "masks", masks)


def test_masks_that_do_not_fit_are_all_named(masks):
    write(masks / "masks" / "a.nii.gz", label(shape=(8, 9, 12)))
    write(masks / "masks" / "b.nii.gz", label((1, 1, 3)), shift=40.0)
    (masks / "masks" / "c.nii.gz").write_bytes(b"no image")
    write(masks / "labels" / "c.nii.gz", label((1, 1, 3)))
    with pytest.raises(ValueError, match="case 'a'") as told:
        compare(masks / "masks", masks / "labels")
    a, b, c = str(told.value).splitlines()
    assert "case 'a': the mask has shape (8, 9, 12), the label (8, 9, 10); were both resampled?" in a
    assert "case 'b': mask and label lie 40.00 mm apart" in b
    assert "case 'c'" in c
    assert "c.nii.gz cannot be read" in c


def test_an_empty_folder_is_no_result(tmp_path):
    (tmp_path / "masks").mkdir()
    with pytest.raises(ValueError, match="masks holds no masks"):
        compare(tmp_path / "masks", tmp_path)


def test_a_broken_note_is_told_with_its_file(masks):
    for content in ('{"labels": ', "[]", '{"labels": {"background": 0}}'):
        (masks / "masks" / "prediction.json").write_text(content)
        with pytest.raises(ValueError, match=r"prediction\.json"):
            compare(masks / "masks", masks / "labels")


def test_pictures_are_measured_as_contours(tmp_path):
    truth = np.zeros((20, 20), np.uint8)
    truth[5:15, 5:15] = 255
    write(tmp_path / "labels" / "a.png", truth)
    write(tmp_path / "masks" / "a.png", np.roll(truth, 2, 1))
    found = rows(compare(tmp_path / "masks", tmp_path / "labels"))["a", "class 255"]
    assert found["dice"] == pytest.approx(0.8)
    assert found["hd"] == 2
    assert read(tmp_path / "masks" / "a.png")[0].shape == (1, 1, 20, 20)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_scan_of_one_slice_is_measured_as_contours(tmp_path, axis):
    """Wherever its axis lies: the border of the slice is no surface. Its volume is in ml all the same."""
    truth = np.zeros((20, 20), np.uint8)
    truth[3:17, 3:17] = 1
    moved = np.roll(truth, 2, 0)
    moved[9:12, 9:12] = 0
    spacing = np.insert([1.0, 1.0], axis, 5.0)
    write(tmp_path / "labels" / "a.nii.gz", np.expand_dims(truth, axis), spacing=spacing)
    write(tmp_path / "masks" / "a.nii.gz", np.expand_dims(moved, axis), spacing=spacing)
    found = rows(compare(tmp_path / "masks", tmp_path / "labels"))["a", "class 1"]
    expected = distances(moved == 1, truth == 1, (1.0, 1.0))
    assert expected["assd"] > 1
    assert {name: found[name] for name in ("hd", "hd95", "assd")} == pytest.approx(
        {name: expected[name] for name in ("hd", "hd95", "assd")}
    )
    assert found["volume_error_ml"] == pytest.approx(-9 * 5 / 1000)


def test_cases_that_were_not_predicted_are_told(tmp_path, capsys):
    masks, labels = tmp_path / "masks", tmp_path / "labels"
    masks.mkdir()
    labels.mkdir()
    write(masks / "a.nii.gz", label((1, 1, 4)))
    write(labels / "a.nii.gz", label((1, 1, 4)))
    described(masks, cases=["a", "lost"])
    compare(masks, labels)
    assert "1 of 2 cases have no mask and count nowhere: lost" in capsys.readouterr().err
