import itertools
import math

import pytest
import torch

from halfmask.losses.information import displaced_joints, information_loss, joint


def loop_information(p, balance=1.0):
    """−I of one joint, by Eq. 3 of the paper with its code's λ."""
    k, total = len(p), 0.0
    for i, j in itertools.product(range(k), range(k)):
        row, column = sum(p[i][m] for m in range(k)), sum(p[m][j] for m in range(k))
        total -= p[i][j] * (math.log(p[i][j]) - balance * math.log(row) - balance * math.log(column))
    return total


@pytest.mark.parametrize("balance", [1.0, 1.5])
def test_it_is_the_formula_and_the_mean_over_joints(balance):
    torch.manual_seed(0)
    one, other = torch.randn(2, 2, 5, 3).softmax(-1)  # two heads, five images, three clusters
    joints = joint(one, other)
    expected = []
    for head in range(2):
        p = [[0.0] * 3 for _ in range(3)]
        for image, i, j in itertools.product(range(5), range(3), range(3)):
            share = one[head, image, i] * other[head, image, j] / 5 / 2
            p[i][j] += share.item()
            p[j][i] += share.item()
        torch.testing.assert_close(joints[head], torch.tensor(p))
        expected.append(loop_information(p, balance))
    assert information_loss(joints, balance).item() == pytest.approx(sum(expected) / 2, abs=1e-6)


def test_independent_clusters_tell_nothing_and_equal_balanced_ones_all():
    k = 4
    sure = torch.eye(k).repeat(3, 1)
    assert information_loss(joint(sure, sure)).item() == pytest.approx(-math.log(k), abs=1e-5)
    p = torch.tensor([0.5, 0.3, 0.1, 0.1])
    assert information_loss(joint(p.expand(6, 4), p.expand(6, 4))).item() == pytest.approx(0, abs=1e-6)
    alone = sure[:1].expand(6, 4)  # all images in one cluster
    assert information_loss(joint(alone, alone)).item() == pytest.approx(0, abs=1e-5)
    pairs = torch.cartesian_prod(torch.arange(k), torch.arange(k))  # each cluster with each other one
    assert information_loss(joint(torch.eye(k)[pairs[:, 0]], torch.eye(k)[pairs[:, 1]])).abs() < 1e-5


def test_its_gradient_is_finite_where_a_cluster_is_empty():
    logits = torch.tensor([[200.0, 0.0, -200.0], [200.0, 1.0, 0.0]], requires_grad=True)
    information_loss(joint(logits.softmax(1), logits.softmax(1).flip(0))).backward()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize(("shape", "reach"), [((4, 5), (1, 2)), ((3, 2, 4), (0, 1, 1)), ((3, 3), (0, 0))])
@pytest.mark.parametrize("masked", [False, True])
def test_displaced_joints_are_slow_loops(shape, reach, masked):
    torch.manual_seed(0)
    one, other = torch.randn(2, 2, 3, *shape).softmax(2)
    counts = torch.rand(2, 1, *shape) < 0.7 if masked else None
    found = displaced_joints(one, other, reach, counts)
    displacements = list(itertools.product(*(range(-d, d + 1) for d in reach)))
    assert found.shape == (len(displacements), 3, 3)
    places = list(itertools.product(*map(range, shape)))
    for t, away in enumerate(displacements):
        p = torch.zeros(3, 3)
        for b, here in itertools.product(range(2), places):
            there = tuple(x + a for x, a in zip(here, away, strict=True))
            if there in places and (counts is None or (counts[(b, 0, *here)] and counts[(b, 0, *there)])):
                p += torch.outer(one[(b, slice(None), *here)], other[(b, slice(None), *there)])
        p = (p + p.T) / 2
        torch.testing.assert_close(found[t], p / p.sum(), msg=str(away))


def test_where_nothing_counts_nothing_is_learned():
    p = torch.randn(2, 3, 4, 4, requires_grad=True)
    loss = information_loss(displaced_joints(p.softmax(1), p.softmax(1), (1, 1), torch.zeros(2, 1, 4, 4).bool()))
    loss.backward()
    assert loss.abs() < 1e-5 and p.grad.abs().max() == 0


def test_half_precision_does_not_round_the_joint():
    """A matrix product in bfloat16 would lose the third digit of each entry."""
    torch.manual_seed(0)
    p, q = torch.randn(2, 64, 4).softmax(-1)
    a, b = (each.T.reshape(1, 4, 8, 8) for each in (p, q))
    plain = joint(p, q), displaced_joints(a, b, (1, 1))
    with torch.autocast("cpu", torch.bfloat16):
        half = joint(p, q), displaced_joints(a, b, (1, 1))
    assert all(x.equal(y) for x, y in zip(plain, half, strict=True))
