import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F

from halfmask import testing
from halfmask.learning.clock import Clock
from halfmask.learning.schedules import sigmoid_rampup
from halfmask.losses.segmentation import dice_ce
from halfmask.methods.semisupervised.uncertainty_rectified_pyramid import UncertaintyRectifiedPyramid


def made(exclusive=True, **settings):
    torch.manual_seed(0)
    small = testing.small(2, norm="instance", exclusive=exclusive)
    deeper = dataclasses.replace(small, pooling=[(1, 1), (2, 2), (2, 2)], kernels=[(3, 3)] * 3)
    return testing.arranged(UncertaintyRectifiedPyramid(deeper, **settings)).train()


def slow(logits, exclusive):
    """Error and uncertainty of logits (S, B, K, H, W), voxel by voxel."""
    logits, errors, uncertainties = logits.double(), [], []
    outcomes = logits.softmax(2) if exclusive else torch.stack([logits.sigmoid(), 1 - logits.sigmoid()], 2)
    mean = outcomes.mean(0)
    for scale in outcomes:
        top = bottom = total = 0.0
        voxels = list(zip(scale.movedim(1, -1).flatten(0, -2), mean.movedim(1, -1).flatten(0, -2), strict=True))
        for p, c in voxels:
            distance = sum(a * math.log(a / b) for a, b in zip(p.tolist(), c.tolist(), strict=True))
            top += math.exp(-distance) * (p - c).square().mean().item()
            bottom += math.exp(-distance)
            total += distance
        errors.append(top / bottom)
        uncertainties.append(total / len(voxels))
    return sum(errors) / len(errors), sum(uncertainties) / len(uncertainties)


@pytest.mark.parametrize("exclusive", [True, False], ids=["classes", "regions"])
def test_it_is_a_slow_loop_over_scales_and_voxels(exclusive):
    method, logits = made(exclusive), 2 * torch.randn(3, 2, 3, 4, 5, dtype=torch.float64)
    error, uncertainty = method.rectified(logits)
    expected = slow(logits, exclusive)
    assert (error.item(), uncertainty.item()) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("exclusive", [True, False], ids=["classes", "regions"])
def test_scales_that_agree_have_no_loss(exclusive):
    one = 20 * torch.randn(1, 2, 3, 4, 5)
    error, uncertainty = made(exclusive).rectified(one.expand(4, -1, -1, -1, -1))
    assert error.item() == pytest.approx(0, abs=1e-9) and uncertainty.item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("exclusive", [True, False], ids=["classes", "regions"])
def test_the_gradient_passes_through_the_mean_and_the_weights(exclusive):
    """It is that of the whole formula, here by differences."""
    method, logits = made(exclusive), torch.randn(3, 1, 3, 2, 2, dtype=torch.float64)
    assert torch.autograd.gradcheck(method.rectified, logits.requires_grad_())


def test_logits_without_bound_leave_all_finite():
    logits = torch.tensor([[300.0, -300, 0], [-300, 300, 0]]).view(2, 1, 3, 1, 1).requires_grad_()
    for exclusive in (True, False):
        sum(made(exclusive).rectified(logits)).backward()
        assert logits.grad.isfinite().all()


def test_all_scales_are_supervised_and_the_unlabeled_ones_rectified():
    method, batch = made(weight=0.7), testing.some_batch(2, sparse=0.5)
    n, net = len(batch.labeled), method.student
    with torch.no_grad():
        maps = net.decode(net.encode(batch.image))
        enlarge = lambda f: F.interpolate(f, (16, 16), mode="bilinear")
        scales = [net.head(maps[0]), enlarge(method.heads[0](maps[1])), enlarge(method.heads[1](maps[2]))]
        supervised = sum(dice_ce(f[:n], batch.labeled.label) for f in scales) / 3
        expected = sum(slow(torch.stack([f[n:] for f in scales]), True))
    minimize = testing.minimizer(method)
    method.step(batch, minimize, Clock(500, 1000))
    assert minimize.losses["supervised"].item() == pytest.approx(supervised.item(), rel=1e-4)
    assert minimize.losses["consistency"].item() == pytest.approx(0.7 * sigmoid_rampup(0.5) * expected, rel=1e-3)


def test_no_more_scales_than_asked_for_or_had():
    assert len(made(scales=2).heads) == 1
    assert len(made().heads) == 2
