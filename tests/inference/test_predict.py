import contextlib
import json

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import torch

from halfmask.data.formats import read
from halfmask.data.index import Case
from halfmask.data.plan import Plan
from halfmask.inference.predict import Predictor, predict_cases

SHAPE, SPACING = (40, 36, 28), np.array([1.0, 1.5, 2.0])


def plan(**changes):
    told = dict(
        channels=["T1"], labels={"background": 0, "bright": 255}, dims=3, orientation="SPL", spacing=(None, None, None),
        normalization=["zscore"], patch=(16, 16, 16), labeled=1, unlabeled=1, pooling=[], kernels=[(3, 3, 3)],
        flips=(True, True, True),
    )  # fmt: skip
    return Plan(**told | changes)


def threshold(x):
    """The "network": sure of "bright" where the normalized image is above 1."""
    bright = torch.sigmoid(8 * (x[:, :1] - 1))
    return torch.cat([1 - bright, bright], 1)


def predictor(told=None, network=threshold, **options):
    return Predictor(network, told or plan(), torch.device("cpu"), **options)


def made(shape=SHAPE, spacing=SPACING):
    """A body with a bright egg off its center, in air: (image, where it is bright)."""
    x, y, z = np.meshgrid(*(np.arange(n) * s for n, s in zip(shape, spacing, strict=True)), indexing="ij")
    egg = ((x - 18) / 11) ** 2 + ((y - 28) / 13) ** 2 + ((z - 27) / 16) ** 2 < 1
    body = np.zeros(shape, bool)
    body[6:-5, 7:-6, 5:-4] = True
    return np.where(egg, 300, 100 * body).astype(np.int16), egg


def turned(degrees):
    a = np.deg2rad(degrees)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    return about_x @ about_z


DIRECTIONS = {
    "RAS": np.eye(3),
    "LPS": np.diag([-1.0, -1, 1]),
    "permuted": np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]]),
    "oblique": turned(20),
}


def nifti(path, image, direction, spacing=SPACING):
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = direction * spacing, (12.5, -30, 7)
    nibabel.save(nibabel.Nifti1Image(image, affine), path)
    return path


def nrrd(path, image, direction, spacing=SPACING):
    scan = sitk.GetImageFromArray(image.T)
    scan.SetSpacing(spacing.tolist())
    scan.SetOrigin((12.5, -30, 7))
    scan.SetDirection(direction.ravel().tolist())
    sitk.WriteImage(scan, str(path))
    return path


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize(("write", "ending"), [(nifti, ".nii.gz"), (nrrd, ".nrrd")])
@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS)
def test_a_mask_lies_where_the_image_does(tmp_path, direction, write, ending):
    """Without resampling it is the thresholded image itself, in the file's own axes and values."""
    image, egg = made()
    file = write(tmp_path / f"case{ending}", image, direction)
    (mask,) = predict_cases([Case("case", (file,))], predictor(flips=True), tmp_path / "out")
    assert mask == tmp_path / "out" / f"case{ending}"
    (array, grid), (_, own) = read(mask), read(file)
    np.testing.assert_allclose(grid.affine, own.affine, atol=1e-5)
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array[0], np.where(egg, 255, 0))


@pytest.mark.parametrize("spacing", [(1.2, 1.2, 1.2), (3.0, 1.0, 1.0)], ids=["finer", "thick"])
@pytest.mark.parametrize("direction", [DIRECTIONS["permuted"], DIRECTIONS["oblique"]], ids=["permuted", "oblique"])
def test_resampling_there_and_back(tmp_path, direction, spacing):
    image, egg = made()
    file = nifti(tmp_path / "case.nii.gz", image, direction)
    (mask,) = predict_cases([Case("case", (file,))], predictor(plan(spacing=spacing)), tmp_path / "out")
    array = read(mask)[0][0]
    assert array.shape == image.shape
    assert set(np.unique(array)) == {0, 255}
    assert dice(array == 255, egg) > 0.95


def test_slice_by_slice_and_smaller_than_the_patch(tmp_path):
    image, egg = made()
    told = plan(dims=2, patch=(64, 64), kernels=[(3, 3)], flips=(True, False))
    file = nifti(tmp_path / "case.nii", image, DIRECTIONS["LPS"])
    (mask,) = predict_cases([Case("case", (file,))], predictor(told, flips=True), tmp_path / "out")
    np.testing.assert_array_equal(read(mask)[0][0] == 255, egg)


def test_a_picture(tmp_path):
    image, egg = made((40, 36, 28))
    flat, wanted = image[:, :, 13].astype(np.float32) / 2, egg[:, :, 13]
    file = tmp_path / "case.png"
    sitk.WriteImage(sitk.GetImageFromArray(flat.astype(np.uint8)), str(file))
    told = plan(dims=2, orientation=None, patch=(16, 16), kernels=[(3, 3)], flips=(True, True))
    (mask,) = predict_cases([Case("case", (file,))], predictor(told), tmp_path / "out")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(mask))), np.where(wanted, 255, 0))


def test_scans_and_pictures_are_not_taken_for_each_other(tmp_path):
    scan, picture = tmp_path / "scan.nii.gz", tmp_path / "picture.png"
    nifti(scan, made()[0], DIRECTIONS["RAS"])
    sitk.WriteImage(sitk.GetImageFromArray(made()[0][:, :, 13].astype(np.uint8)), str(picture))
    of_scans = plan(dims=2, patch=(16, 16), kernels=[(3, 3)], flips=(True, True))
    of_pictures = of_scans.model_copy(update={"orientation": None})
    for file, told, error in (
        (picture, of_scans, "case 'picture': picture.png is a picture, the model was trained on scans"),
        (scan, of_pictures, "case 'scan': scan.nii.gz is a scan, the model was trained on pictures"),
    ):
        with pytest.raises(ValueError, match=error):
            predict_cases([Case(file.name.split(".")[0], (file,))], predictor(told), tmp_path / "out")


@pytest.mark.parametrize("spacing", [(None,) * 3, (1.2, 1.2, 1.2)], ids=["as it is", "resampled"])
def test_maps_of_probability_and_entropy(tmp_path, spacing):
    image, egg = made()
    file = nifti(tmp_path / "case.nii.gz", image, DIRECTIONS["oblique"])
    soft = lambda x: threshold(x / 8 + 7 / 8)
    told = predictor(plan(spacing=spacing), soft)
    predict_cases([Case("case", (file,))], told, tmp_path / "out", probability=True, entropy=True)
    maps = [read(tmp_path / "out" / part / "case.nii.gz") for part in ("probability/background", "probability/bright")]
    entropy, grid = read(tmp_path / "out" / "entropy" / "case.nii.gz")
    np.testing.assert_allclose(grid.affine, read(file)[1].affine, atol=1e-5)
    background, bright = (array[0] for array, _ in maps)
    for array in (background, bright, entropy[0]):
        assert array.dtype == np.float32
        assert array.shape == image.shape
        assert array.min() >= 0
        assert array.max() <= 1
    np.testing.assert_allclose(background + bright, 1, atol=1e-5)
    air = image == 0
    assert (bright[egg] > 0.5).mean() > 0.95
    assert background[0, 0, 0] == 1, "outside of the foreground there is background"
    assert entropy[0][0, 0, 0] == 0
    assert entropy[0][egg].mean() > entropy[0][air].mean()


@pytest.mark.parametrize("spacing", [(None,) * 3, (1.2, 1.2, 1.2)], ids=["as it is", "resampled"])
def test_regions_become_the_classes_they_are_made_of(tmp_path, spacing):
    """The bright egg and, around it, the body: a mask of both, a map of each region."""
    image, egg = made()
    file = nifti(tmp_path / "case.nii.gz", image, DIRECTIONS["oblique"])
    nested = lambda x: torch.cat([torch.sigmoid(8 * (x[:, :1] + 1)), torch.sigmoid(8 * (x[:, :1] - 1))], 1)
    labels, regions = {"air": 0, "body": 3, "egg": 7}, {"whole": ["body", "egg"], "core": ["egg"]}
    told = predictor(plan(labels=labels, regions=regions, outputs="regions", spacing=spacing), nested)
    (mask,) = predict_cases([Case("case", (file,))], told, tmp_path / "out", probability=True, entropy=True)
    found = read(mask)[0][0]
    core, whole = (read(tmp_path / f"out/probability/{name}/case.nii.gz")[0][0] for name in ("core", "whole"))
    assert set(np.unique(found)) <= {0, 3, 7} and (found[egg] == 7).mean() > 0.9
    np.testing.assert_array_equal(found == 7, (core > 0.5) & (whole > 0.5))
    assert (found[(image == 100) & ~egg] == 3).mean() > 0.8
    told = predictor(plan(labels=labels, regions={"healthy": ["air"], "core": ["egg"]}, outputs="regions"), nested)
    predict_cases([Case("case", (file,))], told, tmp_path / "dark", probability=True)
    corner = [read(tmp_path / f"dark/probability/{name}/case.nii.gz")[0][0, 0, 0, 0] for name in ("healthy", "core")]
    assert corner == [1, 0], "outside of the foreground there is background, and what region it is in"
    entropy = read(tmp_path / "out/entropy/case.nii.gz")[0]
    assert entropy.min() >= 0 and entropy.max() <= 1


def test_the_undecided_have_an_entropy_of_one_whatever_the_number_of_classes(tmp_path):
    told = plan(labels={"background": 0, "a": 1, "b": 2, "c": 3, "d": 4})
    image, _ = made()
    file = nifti(tmp_path / "case.nii.gz", image, DIRECTIONS["RAS"])
    undecided = lambda x: torch.full((len(x), 5, *x.shape[2:]), 1 / 5)
    predict_cases([Case("case", (file,))], predictor(told, undecided), tmp_path / "out", entropy=True)
    entropy = read(tmp_path / "out" / "entropy" / "case.nii.gz")[0]
    assert entropy.max() == pytest.approx(1, abs=1e-6)
    assert entropy.max() <= 1


def test_one_broken_image_keeps_no_other_from_its_mask(tmp_path):
    image, egg = made()
    names = ("one", "torn", "three", "two_channels")
    cases = [Case(n, (nifti(tmp_path / f"{n}.nii.gz", image, DIRECTIONS["RAS"]),)) for n in names]
    whole = cases[1].images[0].read_bytes()
    cases[1].images[0].write_bytes(whole[: len(whole) // 2])
    (tmp_path / "out").mkdir()
    nibabel.save(nibabel.Nifti1Image(np.stack([image, image], -1), np.eye(4)), cases[3].images[0])
    nifti(tmp_path / "out" / "torn.nii.gz", egg.astype(np.uint8), DIRECTIONS["RAS"])  # of an earlier run
    with pytest.raises(ValueError, match="2 of 4 cases were not predicted") as told:
        predict_cases(cases, predictor(), tmp_path / "out")
    assert "case 'torn'" in str(told.value)
    assert "torn.nii.gz" in str(told.value)
    assert "case 'two_channels': has 2 channels, the model was trained on 1 (T1)" in str(told.value)
    assert {p.name for p in (tmp_path / "out").glob("*.nii.gz")} == {"one.nii.gz", "three.nii.gz"}
    np.testing.assert_array_equal(read(tmp_path / "out" / "three.nii.gz")[0][0] == 255, egg)


def test_masks_and_maps_in_another_format_take_the_place_of_those_before(tmp_path):
    image, _ = made()
    case = Case("case", (nifti(tmp_path / "case.nii.gz", image, DIRECTIONS["RAS"]),))
    for kind, ending in ((None, ".nii.gz"), ("nrrd", ".nrrd"), (None, ".nii.gz")):
        predict_cases([case], predictor(), tmp_path / "out", entropy=True, kind=kind)
        assert [p.name for p in (tmp_path / "out").glob("case*")] == [f"case{ending}"]
        assert [p.name for p in (tmp_path / "out" / "entropy").iterdir()] == [f"case{ending}"]


def test_an_image_is_never_overwritten(tmp_path):
    image, _ = made()
    file = nifti(tmp_path / "case.nii.gz", image, DIRECTIONS["RAS"])
    linked = tmp_path / "links"
    linked.mkdir()
    (linked / "case.nii.gz").symlink_to(file)
    (tmp_path / "again").symlink_to(tmp_path)
    before = file.read_bytes()
    for source, out in ((file, tmp_path), (file, tmp_path / "again"), (linked / file.name, tmp_path),
                        (linked / file.name, linked)):  # fmt: skip
        with pytest.raises(ValueError, match=r"holds the images themselves .*'case'.*another folder"):
            predict_cases([Case("case", (source,))], predictor(), out)
    assert file.read_bytes() == before
    assert (linked / "case.nii.gz").is_symlink()


def test_each_case_is_met_as_its_domain_s_and_predicted_meanwhile(tmp_path):
    """The network finds the egg in the source's images, and nothing in others, of whatever domain."""
    image, _ = made()
    domains = {"one": "A", "two": "B", "three": None, "four": "elsewhere", "five": "A"}
    cases = [
        Case(n, (nifti(tmp_path / f"{n}.nii.gz", image, DIRECTIONS["RAS"]),), domain=d) for n, d in domains.items()
    ]
    told = []

    @contextlib.contextmanager
    def meet(image, side):
        assert image.ndim == 4 and image.mean().abs() < 1 and not image.is_inference()
        told.append(side)
        yield
        told.append("and over")

    network = lambda x: threshold(x) if told[-1] == "source" else threshold(x - 100)
    masks = predict_cases(cases, predictor(network=network, source=("A", "C"), meet=meet), tmp_path / "out")
    found = [bool(read(mask)[0].any()) for mask in masks]
    assert found == [True, False, False, False, True]
    assert told[::2] == ["source", "target", "target", "target", "source"] and set(told[1::2]) == {"and over"}


def test_what_the_values_mean_is_noted(tmp_path):
    file = nifti(tmp_path / "case.nii.gz", made()[0], DIRECTIONS["RAS"])
    told = plan(regions={"all": ["bright"]}, ignore_value=7)
    predict_cases([Case("case", (file,))], predictor(told), tmp_path / "out", about={"method": "fixmatch"})
    assert json.loads((tmp_path / "out" / "prediction.json").read_text()) == {
        "labels": {"background": 0, "bright": 255},
        "regions": {"all": ["bright"]},
        "ignore": 7,
        "method": "fixmatch",
        "cases": ["case"],
        "images": {"case": [str(file)]},
    }
