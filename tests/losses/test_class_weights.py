"""Class-balanced weights and cross-entropy of whole images."""

import math

import pytest
import torch
import torch.nn.functional as F

from halfmask.data.batch import IGNORE
from halfmask.losses.classification import class_weights, weighted_cross_entropy


@pytest.mark.parametrize("beta", [0.0, 0.9, 0.999, 1.0])
def test_weights_are_the_papers_and_their_mean_over_images_is_1(beta):
    counts = torch.tensor([[900, 90, 10]])
    weights = class_weights(counts, beta)
    assert (weights * counts).sum() / counts.sum() == pytest.approx(1)
    effective = [n if beta == 1 else (1 - beta**n) / (1 - beta) for n in (900, 90, 10)]
    for k in range(3):
        assert weights[0, k] / weights[0, 0] == pytest.approx(effective[0] / effective[k], rel=1e-4)


def test_with_beta_0_all_images_weigh_alike_and_with_1_all_classes():
    counts = torch.tensor([[30, 10]])
    torch.testing.assert_close(class_weights(counts, 0.0), torch.ones(1, 2))
    torch.testing.assert_close(class_weights(counts, 1.0) * counts, torch.full((1, 2), 20.0))


def test_a_class_without_images_weighs_nothing():
    weights = class_weights(torch.tensor([[5, 0, 5]]), 0.9)
    assert weights.tolist() == [[1, 0, 1]]


def test_classes_that_may_come_together_are_balanced_one_by_one():
    counts = torch.tensor([[90, 50], [10, 50]])  # without, with
    weights = class_weights(counts, 1.0)
    torch.testing.assert_close(weights, torch.tensor([[100 / 180, 1.0], [5.0, 1.0]]))


def test_cross_entropy_of_classes_is_the_weighted_mean():
    logits, label = torch.randn(6, 3), torch.tensor([0, 1, 2, 2, 1, 0])
    weights = torch.tensor([[0.5, 1.0, 4.0]])
    expected = F.cross_entropy(logits, label, weights[0])
    torch.testing.assert_close(weighted_cross_entropy(logits, label, weights), expected)


def test_cross_entropy_of_several_classes_against_slow_loops():
    logits = torch.randn(5, 2)
    label = torch.tensor([[1, 0], [0, IGNORE], [1, 1], [IGNORE, IGNORE], [0, 1]])
    weights = torch.tensor([[0.5, 1.0], [3.0, 2.0]])
    total = norm = 0.0
    for n in range(5):
        for k in range(2):
            if label[n, k] != IGNORE:
                p = 1 / (1 + math.exp(-logits[n, k]))
                w = float(weights[label[n, k], k])
                total -= w * math.log(p if label[n, k] == 1 else 1 - p)
                norm += w
    assert float(weighted_cross_entropy(logits, label, weights)) == pytest.approx(total / norm, rel=1e-5)


@pytest.mark.parametrize(("label", "rows"), [(torch.full((2,), IGNORE), 1), (torch.full((2, 3), IGNORE), 2)])
def test_where_nothing_is_known_the_loss_is_0_with_a_gradient(label, rows):
    logits = torch.randn(2, 3, requires_grad=True)
    loss = weighted_cross_entropy(logits, label, torch.ones(rows, 3))
    loss.backward()
    assert loss == 0 and not logits.grad.any()
