"""Boxes are as large as they should be, and what fills them is another part of the foreground, or noise."""

import pytest
import torch

from halfmask.augment.pretext import Cutouts, _foreground_voxels, _last

SHAPES = [(40, 24), (24, 20, 28)]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_boxes_cover_less_than_the_limit_and_nothing_changes_outside(shape):
    x = torch.randn(60, 2, *shape)
    cutouts = Cutouts.draw(x)
    share = cutouts.mask.flatten(1).float().mean(1)
    assert 0 < share.min() < 0.1 and 0.2 < share.max() < 0.3
    changed = (cutouts(x) != x).any(1, keepdim=True)
    assert torch.equal(changed & ~cutouts.mask, torch.zeros_like(changed))
    assert changed.sum() > 0.95 * cutouts.mask.sum()
    assert not (cutouts.noise & ~cutouts.mask).any()
    assert 0.4 < cutouts.noise.sum() / cutouts.mask.sum() < 0.6


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_each_side_is_in_its_range(shape):
    """Of masks that are one box."""
    largest = 1.0
    for n in shape:
        largest *= (n // 4) / n
    masks = Cutouts.draw(torch.randn(400, 1, *shape), limit=largest * 1.001).mask[:, 0]
    found = []
    for mask in masks:
        sides = [int(mask.movedim(axis, 0).flatten(1).any(1).sum()) for axis in range(len(shape))]
        if torch.tensor(sides).prod() == mask.sum():
            found.append([side / n for side, n in zip(sides, shape, strict=True)])
    found = torch.tensor(found)
    assert len(found) > 10 and found.min() >= 0.05 and found.max() <= 0.25
    assert found.min() < 0.11 and found.max() > 0.2


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_box_is_filled_with_one_other_box_of_the_same_image(shape):
    """Seen by coordinates: within a box they are all moved alike, and stay in the image."""
    where = torch.stack(torch.meshgrid(*[torch.arange(float(n)) for n in shape], indexing="ij"))
    image = torch.cat([where, torch.zeros(1, *shape)])[None].repeat(6, *[1] * (len(shape) + 1))
    image[:, -1] = 10 * torch.arange(6.0).view(-1, *[1] * len(shape))  # which image
    cutouts = Cutouts.draw(torch.randn(6, 1, *shape), noise=0.0, limit=0.1)  # too few to be moved alike by chance
    away = (cutouts(image) - image).flatten(2)
    assert not away[:, -1].any()
    moved = cutouts.index - torch.arange(cutouts.index.shape[1])
    for b in range(6):
        kinds = moved[b][cutouts.mask[b].flatten()].unique()
        assert len(kinds) > 1
        for flat in kinds:
            assert len(away[b][:, moved[b] == flat].unique(dim=1).T) == 1


def test_the_last_box_over_a_voxel_is_known_of_many():
    corner = torch.randint(0, 6, (2, 90, 3))
    sides = torch.randint(0, 4, (2, 90, 3))
    found = _last(corner, sides, torch.zeros(2, 1, 8, 9, 7))
    slow = torch.zeros(2, 8, 9, 7, dtype=torch.long)
    for b in range(2):
        for n in range(90):
            box = [slice(int(c), int(c + s)) for c, s in zip(corner[b, n], sides[b, n], strict=True)]
            slow[(b, *box)] = n + 1
    assert torch.equal(found, slow) and found.max() > 80


def test_foreground_is_what_is_not_dark_and_each_of_its_voxels_comes():
    image = torch.full((2, 2, 10, 12), -2.0)
    image[0, :, 3:7, 4:9] = torch.rand(2, 4, 5)
    image[1] = 1.0  # of one color: all of it
    voxels = _foreground_voxels(image, torch.rand(2, 4000, dtype=torch.float64))
    inside = (image[0].mean(0) > -1).flatten().nonzero()[:, 0]
    assert torch.equal(voxels[0].unique(), inside)
    assert torch.equal(voxels[1].unique(), torch.arange(120))
    edges = _foreground_voxels(image, torch.tensor([[0.0, 1 - 1e-12]] * 2, dtype=torch.float64))
    assert edges[1].tolist() == [0, 119]


def test_a_box_is_filled_from_around_the_foreground():
    image = torch.full((40, 1, 40, 40), -2.0)
    image[..., 10:22, 5:17] = 1.0
    cutouts = Cutouts.draw(image, noise=0.0)
    filled = cutouts(image)[cutouts.mask]
    assert (filled > 0).float().mean() > 0.6  # of the image it is 9 %
