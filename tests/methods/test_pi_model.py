import copy
import dataclasses
import math

import pytest
import torch

from halfmask import testing
from halfmask.augment.geometry import Geometry
from halfmask.augment.space import Space
from halfmask.data.batch import Batch
from halfmask.learning.clock import Clock
from halfmask.learning.schedules import sigmoid_rampup
from halfmask.losses.segmentation import dice_ce
from halfmask.methods.semisupervised.pi_model import PiModel

BUILDER = dataclasses.replace(testing.small(2, norm="instance"), flips=(True, True))


def made(**settings):
    torch.manual_seed(0)
    return testing.arranged(PiModel(BUILDER, **settings))


def losses(method, batch):
    minimize = testing.minimizer(method)
    method.step(batch, minimize, Clock(500, 1000))
    return minimize.figures


def test_without_noise_dropout_and_transforms_nothing_differs():
    assert losses(made(noise=0.0, transform=False), testing.some_batch(2))["consistency"] < 1e-10
    for change in (dict(transform=False), dict(noise=0.0)):
        assert losses(made(**change), testing.some_batch(2))["consistency"] > 1e-5


def test_it_is_a_slow_loop_over_the_voxels_that_both_views_show(monkeypatch):
    """The second view is mirrored along its first axis and moved by three voxels along the other."""
    side, batch = testing.SIDE, testing.some_batch(2)
    drawn = []

    def draw(self, like, **ranges):
        drawn.append(ranges)
        shift = torch.tensor([[0.0, 3.0]])
        return Geometry.of((side, side), (side, side), angle=torch.zeros(len(like), 1),
                           flip=torch.tensor([[True, False]]), shift=shift)  # fmt: skip

    monkeypatch.setattr(Space, "draw", draw)
    method = made(noise=0.0, weight=0.7)
    u, moved = batch.unlabeled.image, torch.zeros_like(batch.unlabeled.image)
    moved[..., : side - 3] = u.flip(2)[..., 3:]
    with torch.no_grad():
        p, q = method.student(u).softmax(1), method.student(moved).softmax(1)
    total, count = 0.0, 0
    for b in range(len(u)):
        for i in range(side):
            for j in range(3, side):  # the first three columns left the view
                total += (p[b, :, i, j] - q[b, :, side - 1 - i, j - 3]).square().mean().item()
                count += 1
    expected = 0.7 * sigmoid_rampup(0.5) * total / count
    assert losses(method, batch)["consistency"].item() == pytest.approx(expected, rel=1e-4)
    assert drawn == [dict(rotation=math.radians(10), scale=(0.9, 1.1), p_rotation=0.2, p_scale=0.2)]


def test_both_passes_get_the_gradient_in_one_call_of_the_network():
    """Half of the gradient would be lost if one pass were a target."""
    method, batch, calls = made(transform=False, weight=1.0), testing.some_batch(2), []
    method.student.register_forward_hook(lambda *_: calls.append(1))
    twin, n = copy.deepcopy(method), len(batch.labeled)
    torch.manual_seed(1)
    losses(method, batch)
    assert len(calls) == 1

    torch.manual_seed(1)
    image = torch.cat([batch.image, batch.unlabeled.image])
    logits = twin.student(image + (torch.randn_like(image) * 0.1).clamp(-0.2, 0.2))
    one, other = (each.softmax(1) for each in logits[n:].chunk(2))
    loss = dice_ce(logits[:n], batch.labeled.label) + sigmoid_rampup(0.5) * (one - other).square().mean()
    for p, g in zip(twin.student.parameters(), torch.autograd.grad(loss, list(twin.student.parameters())), strict=True):
        p.data -= 0.1 * g
    for ours, theirs in zip(method.student.parameters(), twin.student.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_labeled_images_count_only_if_asked():
    batch, other = testing.some_batch(2), testing.some_batch(2)
    exchanged = Batch(other.labeled, batch.unlabeled)
    for on, same in (("unlabeled", True), ("all", False)):
        found = []
        for each in (batch, exchanged):
            torch.manual_seed(1)
            found.append(losses(made(on=on, noise=0.0), each)["consistency"])
        assert (found[0] == found[1]) == same
