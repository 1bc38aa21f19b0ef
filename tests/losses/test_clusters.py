"""Clusters as labels."""

import math

import pytest
import torch

from halfmask.data.batch import IGNORE
from halfmask.losses.clusters import cosines, view_losses


@pytest.fixture
def given():
    torch.manual_seed(0)
    maps = [torch.randn(2, 5, 3, 4, requires_grad=True) for _ in range(2)]
    labels = [torch.randint(3, (2, 3, 4)) for _ in range(2)]
    for label in labels:
        label[0, 0, 1] = IGNORE
    return maps, labels, torch.randn(2, 3, 5), torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])


def slow(m, label, centers, shares):
    """Σ w −log p / Σ w over voxels, w one over the share of the voxel's cluster."""
    top = bottom = 0.0
    for b in range(2):
        for i in range(3):
            for j in range(4):
                if (k := int(label[b, i, j])) == IGNORE:
                    continue
                f = m[b, :, i, j].tolist()
                near = [
                    sum(x * y for x, y in zip(f, c, strict=True)) / (math.hypot(*f) * math.hypot(*c))
                    for c in centers.tolist()
                ]
                weight = 1 / float(shares[k])
                top += weight * (math.log(sum(map(math.exp, near))) - near[k])
                bottom += weight
    return top / bottom


def test_the_slow_loop(given):
    (one, other), (l1, l2), centers, shares = given
    within, cross = view_losses(*given)
    told = lambda m, label, v: slow(m.detach(), label, centers[v], shares[v])
    assert within.item() == pytest.approx((told(one, l1, 0) + told(other, l2, 1)) / 2, rel=1e-5)
    assert cross.item() == pytest.approx((told(one, l2, 1) + told(other, l1, 0)) / 2, rel=1e-5)


def test_a_small_cluster_weighs_as_much_as_a_large_one():
    """A voxel in ten of cluster 1: turning all of it wrong costs what turning all of the others wrong does."""
    centers, label = torch.eye(2)[None].expand(2, 2, 2), torch.zeros(1, 10, dtype=torch.long)
    label[0, 0] = 1
    right = torch.eye(2)[label].movedim(-1, 1)
    shares = torch.tensor([[0.9, 0.1]] * 2)
    losses = []
    for wrong in (0, 1):
        m = torch.where((label == wrong)[:, None], right.flip(1), right)
        losses.append(view_losses([m, m], [label, label], centers, shares)[0])
    torch.testing.assert_close(*losses)


def test_equal_views_with_equal_clusters_have_equal_losses(given):
    (one, _), (label, _), centers, shares = given
    same = lambda t: t[:1].expand_as(t)
    within, cross = view_losses([one, one], [label, label], same(centers), same(shares))
    assert within.equal(cross)


def test_what_does_not_lie_on_each_other_teaches_nothing(given):
    maps, labels, centers, shares = given
    sum(view_losses(maps, labels, centers, shares)).backward()
    assert all((m.grad[0, :, 0, 1] == 0).all() and (m.grad[1] != 0).all() for m in maps)
    nowhere = [torch.full_like(label, IGNORE) for label in labels]
    assert sum(view_losses(maps, nowhere, centers, shares)) == 0


def test_cosines_know_no_length():
    maps, centers = torch.randn(2, 4, 3, 3, 3), torch.randn(2, 4)
    torch.testing.assert_close(cosines(maps, centers), cosines(7 * maps, 3 * centers))
    assert cosines(centers[None, :1].mT, centers[:1]).item() == pytest.approx(1)
