"""Cut and mixed images, labels and masks fit each other."""

import pytest
import torch

from halfmask.augment.mixing import Box, CutMix, Mixup, PatchSwap, cutout, partners
from halfmask.data.batch import IGNORE

SHAPES = [(24, 20), (16, 14, 12)]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def test_nobody_is_their_own_partner():
    for size in (2, 3, 7):
        for _ in range(20):
            partner = partners(size)
            assert sorted(partner.tolist()) == list(range(size))
            assert (partner != torch.arange(size)).all()
    assert partners(1).tolist() == [0]


@pytest.mark.parametrize("shape", SHAPES)
def test_boxes_are_boxes_of_the_volume_asked_for(shape):
    mask = Box.draw(torch.zeros(400, 1, *shape), volume=(0.1, 0.3)).mask
    share = mask.flatten(1).float().mean(1)
    assert 0.15 < share.mean() < 0.25
    for one in mask[:20, 0]:
        sides = [(one.flatten(0, -1).view(shape).movedim(a, 0).flatten(1).any(1)).sum() for a in range(len(shape))]
        assert torch.stack(sides).prod() == one.sum()
    assert (mask.any(0)).float().mean() > 0.95  # they lie everywhere
    half = Box.draw(torch.zeros(400, 1, *shape), p=0.5).mask.flatten(1).any(1)
    assert 0.4 < half.float().mean() < 0.6


@pytest.mark.parametrize("shape", SHAPES)
def test_cutmix_moves_image_label_and_confidence_alike_and_carries_ignore(shape):
    label = torch.randint(0, 3, (4, *shape))
    label[0] = IGNORE
    x = label[:, None] + 1000.0 * torch.arange(4).view(-1, *[1] * (len(shape) + 1))  # each voxel knows its origin
    cutmix = CutMix.draw(x)
    mixed, box = cutmix(x)[:, 0], cutmix.box.mask[:, 0]
    assert torch.equal(cutmix(label), (mixed % 1000).long())
    origin = (mixed / 1000).long()
    own = torch.arange(4).view(-1, *[1] * len(shape))
    assert torch.equal(origin, torch.where(box, cutmix.partner.view_as(own), own))
    receiver = int((cutmix.partner == 0).nonzero())
    assert (cutmix(label)[receiver][box[receiver]] == IGNORE).all()


def test_cutout_fills_the_box_and_nothing_else():
    x = torch.randn(3, 2, 16, 16)
    box = Box.draw(x)
    out = cutout(x, box, torch.full_like(x, 9.0))
    assert torch.equal(out == 9, box.mask.expand_as(x))
    assert torch.equal(out[out != 9], x[~box.mask.expand_as(x)])


def test_mixup_blends_and_knows_only_what_both_know():
    x = torch.randn(6, 2, 8, 8)
    label = torch.randint(0, 3, (6, 8, 8))
    label[torch.rand(label.shape) < 0.3] = IGNORE
    mixup = Mixup.draw(x, alpha=0.5)
    target, known = mixup.label(label, 3)
    for i, (j, weight) in enumerate(zip(mixup.partner, mixup.weight, strict=True)):
        torch.testing.assert_close(mixup(x)[i], weight * x[i] + (1 - weight) * x[j])
        assert torch.equal(known[i, 0], (label[i] != IGNORE) & (label[j] != IGNORE))
    torch.testing.assert_close(target.sum(1)[known[:, 0]], torch.ones(int(known.sum())))
    confidence = torch.rand(6, 8, 8)
    assert torch.equal(mixup.mask(confidence), confidence.minimum(confidence[mixup.partner]))
    regions = torch.randint(0, 2, (6, 3, 8, 8))
    regions[:, 1] = label.where(label == IGNORE, 1)
    target, known = mixup.label(regions, 3, exclusive=False)
    assert torch.equal(known, mixup.mask(regions != IGNORE))
    torch.testing.assert_close(target[known], mixup(regions.float())[known])


def test_mixup_weights_follow_beta():
    weight = Mixup.draw(torch.zeros(4000, 1), alpha=0.2).weight
    assert abs(weight.mean() - 0.5) < 0.03
    assert abs(weight.var() - 0.25 / 1.4) < 0.01  # of Beta(a, a): 1 / (4 (2 a + 1))


@pytest.mark.parametrize("shape", SHAPES)
def test_patch_swap_is_a_permutation_within_each_image(shape):
    x = torch.randn(5, 2, *shape)
    swap = PatchSwap.draw(x, count=6, limit=0.3)
    out = swap(x)
    assert torch.equal(out.flatten(2).sort().values, x.flatten(2).sort().values)
    moved = (out != x).any(1, keepdim=True)
    assert (moved <= swap.mask).all()
    assert moved.flatten(1).any(1).all()
    assert (swap.mask.flatten(1).float().mean(1) < 0.3).all()
    assert torch.equal(swap(out[:, 0]), swap(out)[:, 0])  # labels go the same way
    assert (PatchSwap.draw(x, count=60, limit=0.3).mask.flatten(1).float().mean(1) < 0.3).all()


def test_the_seed_decides():
    x = torch.randn(4, 1, 12, 12)
    views = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        views.append(torch.stack([CutMix.draw(x)(x), Mixup.draw(x)(x), PatchSwap.draw(x)(x)]))
    assert torch.equal(views[0], views[1])
    assert not torch.equal(views[0], views[2])
