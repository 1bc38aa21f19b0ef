import pytest
import torch

from halfmask.augment.space import Space


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ("source", "shape", "spacing", "flips"),
    [
        ((24, 20), (24, 20), (1, 1), (False, True)),
        ((24, 20), (12, 10), (1, 1), (True, False)),
        ((9, 32, 32), (8, 16, 16), (5, 1, 1), (False, True, True)),
    ],
)
def test_a_crop_shows_the_share_it_was_asked_for_from_within_the_image(source, shape, spacing, flips):
    space, share = Space(spacing, flips), (0.2, 0.5)
    ramps = torch.stack(torch.meshgrid(*(torch.arange(n).float() for n in source), indexing="ij"))
    seen = space.crop(torch.zeros(200, 1, *source), shape, share=share).image(ramps.expand(200, *ramps.shape) + 1) - 1
    assert seen.min() > -0.5  # 0 lies outside, and 1 is the first voxel: half a voxel beyond its center is still it
    part = torch.ones(200)
    for axis, (n, out) in enumerate(zip(source, shape, strict=True)):
        line = seen.select(1, axis).movedim(axis + 1, -1).flatten(1, -2)[:, 0]
        inner = line[:, 1:-1].diff(dim=1)
        mirrored = inner.mean(1) < 0
        assert mirrored.any() == flips[axis]
        voxels = inner.abs().mean(1) * out
        if space.free[axis]:
            part = part * voxels / n
            assert line.amax() > n - 3 and line.amin() < 2  # any place
        else:
            torch.testing.assert_close(voxels, torch.full_like(voxels, out))
    assert part.min() > share[0] - 0.01 and part.max() < share[1] + 0.01
    assert part.std() > 0.05


def test_the_whole_image_is_a_crop_too():
    x = torch.randn(3, 2, 10, 14)
    assert Space((1, 1), (False, False)).crop(x, share=(1, 1)).image(x).equal(x)
