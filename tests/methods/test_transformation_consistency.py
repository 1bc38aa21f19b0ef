import dataclasses

import pytest
import torch
from torch import nn

from halfmask import testing
from halfmask.augment.geometry import Geometry
from halfmask.augment.space import Space
from halfmask.data.batch import Batch
from halfmask.learning.clock import Clock
from halfmask.learning.schedules import sigmoid_rampup
from halfmask.methods.semisupervised.transformation_consistency import TransformationConsistency

BUILDER = dataclasses.replace(testing.small(2, norm="instance"), flips=(True, True))
STILL = dict(flip=0.0, rotation=0.0, scale=1.0, elastic=0.0)


def made(pointwise=False, **settings):
    torch.manual_seed(0)
    method = testing.arranged(TransformationConsistency(BUILDER, **settings))
    if pointwise:
        method.student = nn.Conv2d(testing.CHANNELS, testing.CLASSES, 1)
    return method


def consistency(method, batch):
    minimize = testing.minimizer(method)
    method.step(batch, minimize, Clock(500, 1000))
    return minimize.figures["consistency"]


def test_a_network_that_sees_single_voxels_is_consistent_under_flips():
    batch = testing.some_batch(2)
    settings = STILL | dict(flip=0.5)
    assert consistency(made(pointwise=True, **settings), batch) < 1e-12
    assert consistency(made(**settings), batch) > 1e-5
    assert consistency(made(**STILL), batch) < 1e-10


@pytest.mark.parametrize("change", [dict(rotation=90.0), dict(scale=2.0), dict(elastic=0.07)], ids=str)
def test_what_comes_in_from_outside_does_not_count(change):
    """Images of one color stay so but for the zeros that a transform brings in."""
    batch, method = testing.some_batch(2), made(pointwise=True, **STILL | change)
    for images in (batch.labeled, batch.unlabeled):
        images.image.copy_(images.image[..., :1, :1] + 3)
    assert consistency(method, batch) < 1e-9
    move = method.space.draw(batch.image, **method.ranges)
    assert 0 < (~move.inside()).float().mean() < 1


@pytest.mark.parametrize("on", ["all", "unlabeled"])
def test_it_is_a_slow_loop_over_the_voxels_that_stay(monkeypatch, on):
    side, batch, sides = testing.SIDE, testing.some_batch(2), []

    def draw(self, like, **ranges):
        sides.append(len(like))
        return Geometry.of((side, side), (side, side), angle=torch.zeros(len(like), 1),
                           flip=torch.tensor([[True, False]]), shift=torch.tensor([[0.0, 3.0]]))  # fmt: skip

    monkeypatch.setattr(Space, "draw", draw)
    method = made(on=on, weight=0.7)
    image = batch.image if on == "all" else batch.unlabeled.image
    moved = torch.zeros_like(image)
    moved[..., : side - 3] = image.flip(2)[..., 3:]
    with torch.no_grad():
        p, q = method.student(image).softmax(1), method.student(moved).softmax(1)
    total, count = 0.0, 0
    for b in range(len(image)):
        for i in range(side):
            for j in range(side - 3):
                total += (p[b, :, side - 1 - i, j + 3] - q[b, :, i, j]).square().mean().item()
                count += 1
    expected = 0.7 * sigmoid_rampup(0.5) * total / count
    assert consistency(method, batch).item() == pytest.approx(expected, rel=1e-4)
    assert sides == [len(image)]


def test_both_branches_get_the_gradient(monkeypatch):
    """Without one of them the gradient of a single weight, here by differences, would be half of it."""
    batch, method = testing.some_batch(2), made(pointwise=True, **STILL, weight=1.0, on="unlabeled")
    method.double()
    batch = Batch(*(half.with_(image=half.image.double()) for half in (batch.labeled, batch.unlabeled)))
    turned = Geometry.of((testing.SIDE,) * 2, (testing.SIDE,) * 2, angle=torch.full((3, 1), 0.5))
    monkeypatch.setattr(Space, "draw", lambda *_, **__: turned)
    losses = []

    class Keep:
        def __call__(self, networks, **each):
            losses.append(each["consistency"])

    def loss():
        method.step(batch, Keep(), Clock(500, 1000))
        return losses[-1]

    weight = method.student.weight
    (slope,) = torch.autograd.grad(loss(), weight)
    eps = 1e-2
    with torch.no_grad():
        weight[0, 0] += eps
        high = loss()
        weight[0, 0] -= 2 * eps
        low = loss()
    assert slope[0, 0].item() == pytest.approx(((high - low) / (2 * eps)).item(), rel=0.02)


def test_a_patch_is_bent_as_far_as_its_shortest_free_side_allows():
    thick = dataclasses.replace(testing.small(3), spacing=(5.0, 1.0, 1.0))
    for builder in (thick, BUILDER):
        method = TransformationConsistency(builder, elastic=0.075)
        method.space.draw(torch.zeros(1, 2, *(testing.SIDE,) * len(builder.patch)), **method.ranges)
        assert method.ranges["elastic"] == pytest.approx(1.2)
