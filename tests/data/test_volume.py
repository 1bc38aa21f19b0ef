import itertools

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import ball, random_affine
from scipy import ndimage

from halfmask.data.foreground import foreground, foreground_box
from halfmask.data.volume import Grid, coarse_axis, resample, resample_label

CODES = ["".join(c) for axes in itertools.permutations(["RL", "AP", "SI"]) for c in itertools.product(*axes)]
SEED = st.integers(0, 2**32 - 1)


@settings(max_examples=200, deadline=None)
@given(seed=SEED, codes=st.sampled_from(CODES), lead=st.sampled_from([(), (2,)]), oblique=st.booleans())
def test_orient_is_undone_and_moves_no_voxel_in_space(seed, codes, lead, oblique):
    rng = np.random.default_rng(seed)
    grid = Grid((3, 4, 5), random_affine(rng, oblique))
    array = rng.normal(size=(*lead, 3, 4, 5))
    turned, own = grid.orient(array, codes), grid.oriented(codes)
    assert turned.shape[-3:] == own.shape
    np.testing.assert_array_equal(grid.restore(turned, codes), array)
    assert "".join(nibabel.aff2axcodes(own.affine)) == codes
    where = lambda g, voxel: g.affine[:3, :3] @ voxel + g.affine[:3, 3]
    first = turned.reshape(-1, *own.shape)[0]
    for voxel in ((0, 0, 0), (1, 2, 3), (2, 3, 1)):  # the same number at the same place
        there = np.linalg.solve(own.affine, [*where(grid, voxel), 1])[:3]
        assert first[tuple(np.rint(there).astype(int))] == array.reshape(-1, 3, 4, 5)[0][voxel]
        np.testing.assert_allclose(there, np.rint(there), atol=1e-6)
    np.testing.assert_allclose(sorted(own.spacing), sorted(grid.spacing))


def test_every_orientation_there_is():
    assert len(set(CODES)) == 48


def test_pictures_are_not_turned():
    grid = Grid((1, 3, 4), np.eye(4), scan=False)
    array = np.arange(12.0).reshape(1, 3, 4)
    assert grid.oriented("SPL") is grid
    np.testing.assert_array_equal(grid.restore(grid.orient(array, "SPL"), "SPL"), array)


def test_apart_is_the_farthest_corner():
    grid, other = Grid((11, 3, 3), np.eye(4)), Grid((11, 3, 3), np.diag([1.5, 1, 1, 1]))
    assert grid.apart(grid) == 0
    assert grid.apart(other) == pytest.approx(5)


@settings(max_examples=200, deadline=None)
@given(
    seed=SEED,
    shape=st.tuples(*[st.integers(1, 9)] * 3),
    target=st.tuples(*[st.integers(1, 15)] * 3),
    order=st.sampled_from([0, 1, 3]),
)
def test_resample_is_scipys_zoom(seed, shape, target, order):
    array = np.random.default_rng(seed).normal(size=shape)
    zoom = [m / n for m, n in zip(target, shape, strict=True)]
    expected = ndimage.zoom(array, zoom, order=order, mode="nearest", grid_mode=True)
    found = resample(np.stack([array, -array]), target, order=order, coarse=None)
    assert found.dtype == np.float32 and found.shape == (2, *target)
    np.testing.assert_allclose(found, np.stack([expected, -expected]), atol=2e-5)


@settings(max_examples=100, deadline=None)
@given(seed=SEED, target=st.tuples(*[st.integers(1, 20)] * 3), coarse=st.sampled_from([None, 0, 1, 2]))
def test_what_resampling_must_keep(seed, target, coarse):
    rng = np.random.default_rng(seed)
    shape = (5, 6, 7)
    constant = resample(np.full(shape, 7.5), target, order=3, coarse=coarse)
    np.testing.assert_allclose(constant, 7.5, rtol=1e-5)
    array = rng.normal(size=shape).astype(np.float32)
    np.testing.assert_array_equal(resample(array, shape, order=3, coarse=coarse), array)

    label = rng.choice([0, 1, 3, 255], shape).astype(np.uint8)
    found = resample_label(label, target, coarse=coarse)
    assert found.dtype == np.uint8 and set(np.unique(found)) <= set(np.unique(label))
    values = np.unique(label)
    shares = resample((label == values[:, None, None, None]).astype(float), target, order=1, coarse=coarse)
    np.testing.assert_array_equal(found, values[shares.argmax(0)])
    np.testing.assert_allclose(shares.sum(0), 1, rtol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_along_a_coarse_axis_every_slice_is_one_of_the_old(axis):
    shape = [4, 4, 4]
    array = np.moveaxis(np.random.default_rng(0).normal(size=shape), 0, axis)
    shape[axis] = 12
    found = resample(array, shape, order=3, coarse=axis)
    np.testing.assert_allclose(found, np.repeat(array, 3, axis), rtol=1e-6)


def test_down_and_up_again_a_smooth_image_is_what_it_was():
    place = np.meshgrid(*[np.linspace(0, np.pi, n) for n in (24, 30, 36)], indexing="ij")
    smooth = sum(np.cos(p) for p in place)
    small = resample(smooth, (12, 20, 18), order=3, coarse=None)
    again = resample(small, smooth.shape, order=3, coarse=None)
    assert np.abs(again - smooth).max() < 0.05 * smooth.std()


def test_coarse_axis():
    assert coarse_axis((5, 1, 1)) == 0
    assert coarse_axis((2.9, 1, 1)) is None
    assert coarse_axis((1, 1, 1), (1, 1, 3)) == 2


# ---------------------------------------------------------------------------- foreground


def box_of(image):
    return foreground_box(foreground(image))


def test_the_box_is_found_by_threshold_and_not_by_zero():
    body = np.full((1, 40, 50, 60), -1000, np.int16)  # air
    body += np.random.default_rng(0).integers(-20, 20, body.shape, dtype=np.int16)
    body[0, 10:30, 10:40, 20:40] = 40
    assert box_of(body) == ((7, 33), (7, 43), (17, 43))
    scaled = np.zeros((1, 40, 50, 60), np.float32)  # 0–1, skull-stripped
    scaled[0, 10:30, 10:40, 20:40] = 0.5
    assert box_of(scaled) == ((7, 33), (7, 43), (17, 43))
    assert box_of(np.zeros((1, 5, 5, 5))) == ((0, 5),) * 3
    assert box_of(np.full((2, 5, 5, 5), 9, np.uint8)) == ((0, 5),) * 3


def test_a_channel_alone_is_enough():
    image = np.zeros((2, 30, 30, 30), np.float32)
    image[1] = 100 * ball((30, 30, 30), radius=0.2)
    assert box_of(image) == box_of(image[1:]) != box_of(image[:1])


def test_a_structure_that_some_regular_slices_miss_is_found():
    """With 512 × 512 pixels and few slices, every 500,000th of the voxels lie all in two slices."""
    image = np.random.default_rng(0).integers(0, 20, (1, 256, 512, 40)).astype(np.int16)
    image[0, 60:200, 100:400, 22:38] += 1000
    image[0, ..., ::10] = 0
    assert box_of(image) == ((57, 203), (97, 403), (19, 40))
