import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import ball, dice, nifti, random_affine, some_plan

from halfmask.data.batch import IGNORE
from halfmask.data.foreground import crop
from halfmask.data.index import Case
from halfmask.data.preprocess import class_numbers, file_values, preprocess, read_case
from halfmask.data.volume import Grid

SEED = st.integers(0, 2**32 - 1)


def one_hot(label, classes):
    return np.stack([label == k for k in range(classes)]).astype(np.float32)


def body(shape, rng):
    """An image with a body somewhere in it, and a label within."""
    center = rng.uniform(0.4, 0.6)
    inside = ball(shape, center, 0.35)
    label = ball(shape, center, 0.27).astype(np.uint8)
    label[ball(shape, center, 0.18)] = 2
    image = rng.normal(size=(2, *shape)) + 50 * inside + 30 * label
    return image.astype(np.float32), label


PLAN = {
    "channels": ["a", "b"],
    "normalization": ["zscore"] * 2,
    "labels": {"background": 0, "rind": 1, "core": 2},
}


@settings(max_examples=60, deadline=None)
@given(seed=SEED, codes=st.sampled_from(["SPL", "LPS", "RAI", "PIR"]), oblique=st.booleans(), keep=st.booleans())
def test_a_mask_comes_back_to_where_it_was(seed, codes, oblique, keep):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(26, 40, 3))
    grid = Grid(shape, random_affine(rng, oblique))
    finest = grid.oriented(codes).spacing
    spacing = (None,) * 3 if keep else tuple(s * rng.uniform(0.6, 1.3) for s in finest)
    image, label = body(shape, rng)
    prepared = preprocess(image, label, grid, some_plan(**PLAN, orientation=codes, spacing=spacing))
    frame = prepared.frame
    assert prepared.image.shape[1:] == prepared.label.shape == frame.shape
    back = frame.restore_classes(one_hot(prepared.label, 3))
    assert back.shape == shape and back.dtype == np.uint8
    if keep:
        np.testing.assert_array_equal(back, label)
        np.testing.assert_array_equal(prepared.image, crop(grid.orient(image, codes), frame.box))
    for k in (1, 2):
        assert dice(back == k, label == k) > 0.9
    outside = frame.place(np.zeros(frame.kept, bool), fill=1)
    assert not label[outside].any() and not back[outside].any()

    numbers = np.arange(np.prod(frame.kept)).reshape(frame.kept)  # each voxel to its own place
    placed = frame.place(numbers, fill=-1)
    np.testing.assert_array_equal(crop(grid.orient(placed, codes), frame.box), numbers)
    assert np.count_nonzero(placed >= 0) == numbers.size
    assert frame.restore(np.ones(frame.shape), fill=-5).min() == (-5 if outside.any() else 1)


@settings(max_examples=15, deadline=None)
@given(seed=SEED, factor=st.sampled_from([1.0, 0.7, 1.6]))
def test_normalized_is_mean_0_and_sd_1_in_the_foreground(seed, factor):
    rng = np.random.default_rng(seed)
    shape = (24, 26, 28)
    inside = ball(shape, radius=0.4)
    image = np.where(inside, rng.uniform(5, 7, (2, *shape)), 0)
    image = image * rng.uniform(0.01, 1e4) + rng.uniform(-1e4, 1e4)
    prepared = preprocess(image, None, Grid(shape, np.eye(4)), some_plan(**PLAN, spacing=(factor,) * 3))
    normalized = prepared.normalized()
    assert prepared.label is None and normalized.dtype == np.float32
    low, high = normalized.min((1, 2, 3)), np.percentile(normalized, 99, (1, 2, 3))
    core = normalized[:, (normalized > ((low + high) / 2)[:, None, None, None]).all(0)]
    near = 1e-3 if factor == 1 else 0.3
    np.testing.assert_allclose(core.mean(1), 0, atol=near)
    np.testing.assert_allclose(core.std(1), 1, atol=near)


def test_ct_is_clipped_by_the_plan_and_cropped_to_the_body():
    image = np.full((1, 30, 40, 50), -1000, np.int16)
    image[0, 10:20, 10:30, 15:35] = 60
    image[0, 12, 12, 20] = 3000
    given_ = image.copy()
    rows = [(-57.5, 163.2, 100.0, 40.0)]
    plan = some_plan(channels=["CT"], normalization=["ct"], intensities=rows, orientation="RAS")
    prepared = preprocess(image, None, Grid((30, 40, 50), np.eye(4)), plan)
    np.testing.assert_array_equal(image, given_, "what was given is not changed")
    assert prepared.frame.box == ((7, 23), (7, 33), (12, 38))
    assert prepared.image.dtype == np.int16
    assert (prepared.image.min(), prepared.image.max()) == (-57, 163)
    assert (prepared.mean, prepared.sd) == ([100], [40])
    np.testing.assert_allclose(prepared.normalized().max(), (163 - 100) / 40)


def test_class_numbers():
    plan = some_plan(ignore_value=9, labels={"background": 0, "vessel": 255})
    label = np.array([[0, 255, 9, 255]])
    found = class_numbers(label, plan)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, [[0, 1, IGNORE, 1]])
    np.testing.assert_array_equal(class_numbers(label.astype(np.float32), plan), found)
    values = file_values(found.clip(0, 1), plan)
    assert values.dtype == np.uint8
    np.testing.assert_array_equal(values, [[0, 255, 255, 255]])
    many = some_plan(labels={"background": 0, "low": -1, "high": 1000})
    assert file_values(np.array([0, 1, 2]), many).tolist() == [0, -1, 1000]
    with pytest.raises(ValueError, match=r"\[3.0, 77.0\].*vessel"):
        class_numbers(np.array([0, 77, 3]), plan)


def test_ignored_voxels_stay_ignored_when_resampled():
    label = np.zeros((16, 16, 16), np.uint8)
    label[4:8], label[8:] = 1, 9
    plan = some_plan(ignore_value=9, spacing=(0.5, 0.5, 0.5), orientation="RAS")
    image = np.ones((1, 16, 16, 16), np.float32)
    prepared = preprocess(image, label, Grid((16, 16, 16), np.eye(4)), plan)
    np.testing.assert_array_equal(prepared.label[:, 5, 5], [0] * 8 + [1] * 8 + [IGNORE] * 16)


def test_pictures_keep_their_one_slice():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (3, 1, 20, 30)).astype(np.uint8)
    label = (image[0] > 100).astype(np.uint8)
    grid = Grid((1, 20, 30), np.eye(4), scan=False)
    plan = some_plan(orientation=None, dims=2, patch=(8, 8), channels=list("rgb"), normalization=["zscore"] * 3,
                     pooling=[], kernels=[(3, 3)], flips=(True, True), spacing=(None, 0.5, 2.0))  # fmt: skip
    prepared = preprocess(image, label, grid, plan)
    assert prepared.image.shape == (3, 1, 40, 15)
    keep = preprocess(image, label, grid, plan.model_copy(update={"spacing": (None, None, None)}))
    assert keep.image.dtype == np.uint8
    np.testing.assert_array_equal(keep.frame.restore_classes(one_hot(keep.label, 2)), label)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("shape", [(8, 8, 8), (1, 8, 8), (1, 1, 1)])
def test_an_image_of_one_value(dtype, shape):
    plan = some_plan(spacing=(0.7, 1, 1.2))
    prepared = preprocess(np.full((1, *shape), 7, dtype), np.zeros(shape, np.uint8), Grid(shape, np.eye(4)), plan)
    np.testing.assert_allclose(prepared.normalized(), 0, atol=1e-4)
    assert prepared.frame.restore_classes(one_hot(prepared.label, 2)).shape == shape


def test_read_case_tells_case_and_file(tmp_path):
    image = nifti(tmp_path / "a.nii.gz", np.ones((4, 5, 6), np.float32))
    other = nifti(tmp_path / "b.nii.gz", np.ones((4, 5, 7), np.float32))
    moved = nifti(tmp_path / "c.nii.gz", np.zeros((4, 5, 6), np.uint8), np.diag([2, 1, 1, 1]))
    faulty = np.ones((4, 5, 6), np.float32)
    faulty[0, 0, 0] = np.nan
    nan = nifti(tmp_path / "d.nii.gz", faulty)
    for case, told in (
        (Case("p7", (image, other)), "b.nii.gz: has shape"),
        (Case("p7", (image,), moved), "c.nii.gz: lies up to 3.00 mm from a.nii.gz"),
        (Case("p7", (image, tmp_path / "e.nii.gz")), "e.nii.gz cannot be read"),
        (Case("p7", (nan,)), "d.nii.gz: has voxels that are NaN"),
        (Case("p7", (image, nan)), "d.nii.gz: has voxels that are NaN"),
    ):
        with pytest.raises(ValueError, match=told) as error:
            read_case(case)
        assert "case 'p7'" in str(error.value)
    array, label, grid = read_case(Case("p7", (image, image), moved), label=False)
    assert array.shape == (2, 4, 5, 6) and label is None
    assert grid.shape == nibabel.load(image).shape
