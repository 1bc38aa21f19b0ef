import math

import pytest
import torch

from halfmask.losses.entropy import class_entropy, region_entropy


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_it_is_one_where_nothing_is_known_and_nothing_where_all_is(classes):
    """Whatever the number of classes: log 2 instead of log K would tell 1.58 for three."""
    flat = torch.full((1, classes, 4, 5), 1 / classes)
    torch.testing.assert_close(class_entropy(flat), torch.ones(1, 4, 5))
    sure = torch.eye(classes)[None, :, :1, None]
    assert class_entropy(sure).abs().max() < 1e-5
    torch.testing.assert_close(region_entropy(torch.full((1, classes, 3), 0.5)), torch.ones(1, classes, 3))
    assert region_entropy(torch.tensor([0.0, 1.0])).abs().max() < 1e-5


def test_it_is_a_slow_loop():
    torch.manual_seed(0)
    p = torch.randn(2, 3, 4).softmax(1)
    for b in range(2):
        for i in range(4):
            one = -sum(v * math.log(v) for v in p[b, :, i].tolist()) / math.log(3)
            assert class_entropy(p)[b, i].item() == pytest.approx(one, abs=1e-6)
            each = [-(v * math.log(v) + (1 - v) * math.log(1 - v)) / math.log(2) for v in p[b, :, i].tolist()]
            assert region_entropy(p)[b, :, i].tolist() == pytest.approx(each, abs=1e-6)


def test_its_gradient_is_finite_where_a_probability_is_zero():
    logits = torch.tensor([[200.0, 0.0, -200.0]], requires_grad=True)
    (class_entropy(logits.softmax(1)).sum() + region_entropy(logits.sigmoid()).sum()).backward()
    assert logits.grad.isfinite().all()
