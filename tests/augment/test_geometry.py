"""One geometry moves images, labels and probabilities alike, exactly where it can and invertibly."""

import math

import pytest
import scipy.ndimage
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from halfmask.augment.geometry import Geometry
from halfmask.augment.spline import spline
from halfmask.data.batch import IGNORE

SHAPES = [(24, 20), (16, 14, 12)]
PLANES = {2: 1, 3: 3}


def smooth(batch, channels, shape):
    """Images without detail finer than a few voxels."""
    return 3 * spline(torch.randn(batch, channels, *[5] * len(shape)), shape)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("shape", SHAPES)
def test_nothing_drawn_is_the_identity_bit_for_bit(shape):
    x, y = torch.randn(3, 2, *shape), torch.randint(0, 4, (3, *shape))
    geometry = Geometry.draw(x)
    assert torch.equal(geometry.image(x), x)
    assert torch.equal(geometry.label(y), y)
    assert geometry.inside().all()


@pytest.mark.parametrize("shape", SHAPES)
def test_flips_are_those_of_torch_and_undo_themselves(shape):
    x = torch.randn(16, 2, *shape)
    flip = torch.rand(16, len(shape)) < 0.5
    geometry = Geometry.of(shape, shape, angle=torch.zeros(16, PLANES[len(shape)]), flip=flip)
    flipped = geometry.image(x)
    for one, out, axes in zip(x, flipped, flip, strict=True):
        assert torch.equal(out, one.flip([1 + a for a in range(len(shape)) if axes[a]]))
    assert torch.equal(geometry.image(flipped), x)
    assert torch.equal(geometry.inverse().image(flipped), x)


def test_jitter_and_center_crop_copy_whole_voxels():
    x = torch.randn(32, 1, 21, 18)  # an odd margin and an even one
    assert torch.equal(Geometry.draw(x, (16, 16)).image(x), x[..., 2:18, 1:17])
    jittered = Geometry.draw(x, (16, 16), jitter=(2, 1)).image(x)
    corners = {(i, j) for i in range(5) for j in range(3)}
    crops = {(i, j): x[..., i : i + 16, j : j + 16] for i, j in corners}
    found = [[c for c in corners if torch.equal(crops[c][b], jittered[b])] for b in range(len(x))]
    assert all(len(where) == 1 for where in found)
    assert {where[0] for where in found} == corners or len({where[0] for where in found}) > 10


@pytest.mark.parametrize("shape", [(20, 20), (16, 16, 12)])
def test_a_quarter_turn_is_rot90(shape):
    x, y = torch.randn(1, 2, *shape), torch.randint(0, 4, (1, *shape))
    angle = torch.zeros(1, PLANES[len(shape)])
    angle[:, 0] = math.pi / 2
    geometry = Geometry.of(shape, shape, angle=angle)
    torch.testing.assert_close(geometry.image(x), x.rot90(1, (2, 3)), atol=1e-4, rtol=0)
    assert torch.equal(geometry.label(y), y.rot90(1, (1, 2)))
    assert geometry.inside().all()


@pytest.mark.parametrize("shape", SHAPES)
def test_affine_resampling_is_that_of_scipy(shape):
    dims = len(shape)
    x = torch.randn(4, 1, *(n + 5 for n in shape))
    geometry = Geometry.draw(
        x,
        shape,
        flips=[True] * dims,
        rotation=1.0,
        scale=(0.7, 1.4),
        jitter=2,
        spacing=[2.0, 1.0, 1.5][:dims],
    )
    for i, out in enumerate(geometry.image(x)):
        expected = scipy.ndimage.affine_transform(
            x[i, 0].numpy(),
            geometry.matrix[i].numpy(),
            geometry.offset[i].numpy(),
            shape,
            order=1,
            mode="grid-constant",
        )
        torch.testing.assert_close(out[0], torch.from_numpy(expected), atol=1e-4, rtol=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_outside_the_field_images_are_0_and_labels_ignored(shape):
    x, y = torch.ones(2, 1, *shape), torch.ones(2, *shape, dtype=torch.long)
    for geometry in (
        Geometry.of(shape, shape, angle=torch.full((2, PLANES[len(shape)]), 0.4), scale=0.6),
        Geometry.of(shape, shape, angle=torch.zeros(2, PLANES[len(shape)]), shift=5),  # by copying
    ):
        image, label, inside = geometry.image(x), geometry.label(y), geometry.inside()[:, 0]
        assert set(label.unique().tolist()) == {1, IGNORE}
        assert (image[:, 0][label == IGNORE] <= 0.5).all()  # it fades over the last half voxel
        assert (image == 0).any()
        torch.testing.assert_close(image[:, 0][inside], torch.ones(int(inside.sum())), atol=2e-3, rtol=0)
        assert (label[inside] == 1).all()
        assert (label == IGNORE).any()


@pytest.mark.parametrize("shape", SHAPES)
def test_image_and_label_go_together(shape):
    x = smooth(8, 1, shape)
    geometry = Geometry.draw(
        x, flips=[True] * len(shape), rotation=0.5, scale=(0.8, 1.3), jitter=2, elastic=0.9, p_rotation=0.7
    )
    moved = geometry.image(x)[:, 0]
    known = geometry.inside()[:, 0]
    label = geometry.label((x[:, 0] > 0).long())
    agree = (label == (moved > 0))[known]
    assert agree.float().mean() > 0.95
    clear = known & (moved.abs() > 1)
    assert (label == (moved > 0))[clear].all()


def test_a_deformation_alone_deforms_those_it_was_drawn_for():
    x = torch.randn(200, 1, 16, 16)
    bent = (Geometry.draw(x, elastic=1.0, p_elastic=0.5).image(x) != x).flatten(1).any(1)
    assert 0.35 < bent.float().mean() < 0.65


def test_labels_never_mix():
    y = torch.tensor([0, 7, IGNORE])[torch.randint(0, 3, (4, 16, 16))]
    geometry = Geometry.draw(y[:, None], rotation=3.0, scale=(0.7, 1.4), elastic=1.0)
    assert set(geometry.label(y).unique().tolist()) == {0, 7, IGNORE}


@pytest.mark.parametrize("rotation", [0.0, 1.0])
def test_a_ball_in_mm_stays_a_ball(rotation):
    spacing = torch.tensor([3.0, 1.0, 1.5])
    shape = (16, 48, 32)
    at = torch.stack(torch.meshgrid(*[torch.arange(n) - (n - 1) / 2 for n in shape], indexing="ij"), -1)
    ball = 12.0 - (at * spacing).norm(dim=-1)  # distance to its surface
    x = ball.expand(4, 1, *shape).clone()
    geometry = Geometry.draw(x, rotation=rotation, spacing=spacing.tolist())
    near = (ball.abs() < 6) & geometry.inside()[:, 0]
    assert (geometry.image(x)[:, 0] - x[:, 0]).abs()[near].max() < 0.5  # mm; in voxels it would be many
    bigger = Geometry.draw(x, scale=(1.25, 1.25), spacing=spacing.tolist())
    grown = (bigger.image(x) > 0).sum() / (x > 0).sum()
    assert abs(grown - 1.25**3) < 0.1


def test_axes_that_are_not_free_neither_rotate_scale_nor_bend():
    x = torch.arange(8.0).view(1, 1, 8, 1, 1).expand(6, 1, 8, 20, 20).clone()
    geometry = Geometry.draw(x, rotation=3.0, scale=(0.8, 1.2), elastic=1.0, free=[False, True, True])
    known = geometry.inside()
    torch.testing.assert_close(geometry.image(x)[known], x[known], atol=1e-4, rtol=1e-3)


def test_forbidden_flips_never_occur_and_allowed_ones_do_half_the_time():
    x = torch.arange(4.0).view(1, 1, 4, 1) + 10 * torch.arange(3.0)
    x = x.expand(2000, 1, 4, 3)
    out = Geometry.draw(x, flips=[False, True]).image(x)
    assert (out[:, 0, 0, 0] < out[:, 0, 1, 0]).all()
    assert 0.45 < (out[:, 0, 0, 0] > out[:, 0, 0, 1]).float().mean() < 0.55


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    shape=st.sampled_from([(30, 27), (20, 22, 19)]),
    rotation=st.floats(0, 3),
    low=st.floats(0.7, 1),
    high=st.floats(1, 1.4),
    elastic=st.sampled_from([0.0, 0.7, 1.4]),
    ratio=st.floats(1, 3),
)
def test_the_inverse_undoes(seed, shape, rotation, low, high, elastic, ratio):
    torch.manual_seed(seed)
    dims = len(shape)
    # A linear ramp survives linear interpolation, so that the error is one of position, in voxels.
    x = torch.stack(torch.meshgrid(*[torch.arange(float(n)) for n in shape], indexing="ij")).expand(2, -1, *shape)
    geometry = Geometry.draw(
        x,
        flips=[True] * dims,
        rotation=rotation,
        scale=(low, high),
        elastic=elastic,
        jitter=2,
        spacing=[ratio, 1.0, 1.0][:dims],
    )
    inverse = geometry.inverse()
    back = inverse.image(geometry.image(x))
    # Where the way there and back stayed in the field.
    known = inverse.image(geometry.image(torch.ones_like(x[:, :1]))) > 1 - 1e-5
    error = (back - x).abs().amax(1, keepdim=True)[known]
    assert known.float().mean() > 0.02
    if elastic == 0:
        assert error.max() < 5e-3
    else:  # the deformation's own curvature between voxels, besides the inversion
        assert error.mean() < 0.02
        assert error.max() < 0.2


@pytest.mark.parametrize("shape", [(40, 40), (30, 30, 30)])
def test_a_deformation_is_inverted_to_a_thousandth_voxel(shape):
    dims, size = len(shape), torch.tensor(shape)
    geometry = Geometry.draw(torch.zeros(4, 1, *shape), elastic=2.0, rotation=0.5, scale=(0.7, 1.4))
    inverse = geometry.inverse()

    def follow(geometry, at, displacement):
        """Where the geometry sends positions `at` (B, …, D)."""
        offset = geometry.offset.float().view(4, *[1] * dims, dims)
        return torch.einsum("bij,b...j->b...i", geometry.matrix.float(), at) + offset + displacement.movedim(1, -1)

    voxels = torch.stack(torch.meshgrid(*[torch.arange(float(n)) for n in shape], indexing="ij"), -1)
    there = follow(inverse, voxels.expand(4, *voxels.shape), inverse.displacement)
    grid = ((2 * there + 1) / size - 1).flip(-1)
    between = F.grid_sample(geometry.displacement, grid, padding_mode="border", align_corners=False)
    error = (follow(geometry, there, between) - voxels).norm(dim=-1)
    inside = ((there >= 0) & (there <= size - 1)).all(-1)
    assert inside.float().mean() > 0.3
    assert error[inside].max() < 1e-3


@pytest.mark.parametrize("shape", SHAPES)
def test_a_sample_does_not_depend_on_its_batch(shape):
    x = torch.randn(6, 2, *shape)
    parameters = {
        "angle": torch.randn(6, PLANES[len(shape)]) * (torch.arange(6) % 2)[:, None],  # some are copied
        "flip": torch.rand(6, len(shape)) < 0.5,
        "shift": torch.randint(-2, 3, (6, len(shape))),
        "knots": torch.randn(6, len(shape), *[5] * len(shape)) * (torch.arange(6) == 3).view(-1, *[1] * len(shape), 1),
    }
    together = Geometry.of(shape, shape, **parameters).image(x)
    for i in range(6):
        alone = Geometry.of(shape, shape, **{k: v[i : i + 1] for k, v in parameters.items()})
        torch.testing.assert_close(alone.image(x[i : i + 1]), together[i : i + 1], atol=1e-5, rtol=0)


def test_the_seed_decides_and_nothing_else():
    x = torch.randn(2, 1, 20, 20)
    draw = lambda: Geometry.draw(x, flips=[True, True], rotation=1.0, scale=(0.7, 1.4), elastic=1.0).image(x)
    torch.manual_seed(5)
    first = draw()
    second = draw()
    torch.manual_seed(5)
    assert torch.equal(draw(), first)
    assert not torch.equal(second, first)


def test_gradients_flow_back_to_probabilities():
    p = torch.rand(4, 2, 12, 12, requires_grad=True)
    geometry = Geometry.draw(p, flips=[True, True], rotation=1.0, p_rotation=0.5)
    geometry.probability(p).sum().backward()
    assert (p.grad.flatten(1).sum(1) > 0).all()


def test_wrong_shapes_and_folding_are_refused():
    x = torch.zeros(2, 1, 20, 20)
    with pytest.raises(ValueError, match="fold"):
        Geometry.draw(x, elastic=5.0)
    with pytest.raises(ValueError, match="drawn for 2 images"):
        Geometry.draw(x).image(x[:, :, 1:])


@pytest.mark.parametrize("shape", SHAPES)
def test_means_of_voxels_move_as_the_voxels_do(shape):
    """Exactly where whole means are only mirrored; else for images without detail finer than a few of them."""
    stride = {2: (2, 4), 3: (4, 2, 1)}[len(shape)]
    pooled = lambda x: F.interpolate(x, [n // s for n, s in zip(x.shape[2:], stride, strict=True)], mode="area")
    x = torch.randn(8, 2, *shape)
    flips = Geometry.draw(x, flips=[True] * len(shape))
    torch.testing.assert_close(flips.coarser(stride).image(pooled(x)), pooled(flips.image(x)))
    x = 3 * spline(torch.randn(8, 1, *[4] * len(shape)), shape)
    geometry = Geometry.draw(x, rotation=0.3, scale=(1.2, 1.6), jitter=1)
    coarse = geometry.coarser(stride)
    inside = coarse.inside()
    assert inside.float().mean() > 0.5
    apart = (coarse.image(pooled(x)) - pooled(geometry.image(x)))[inside]
    assert apart.square().mean().sqrt() < 0.1 * x.std()
    with pytest.raises(ValueError, match="goes by"):
        geometry.coarser([7] * len(shape))
