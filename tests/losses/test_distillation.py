import math

import pytest
import torch

from halfmask.losses.distillation import cross_view, sharpened


def test_cross_view_is_a_loop_over_pairs_of_different_views():
    torch.manual_seed(0)
    student, teacher = torch.randn(5, 3, 4), torch.randn(2, 3, 4).softmax(-1)
    total, pairs = 0.0, 0
    for t in range(2):
        for s in range(5):
            if s == t:
                continue
            pairs += 1
            for image in range(3):
                logits = [v / 0.3 for v in student[s, image].tolist()]
                norm = math.log(sum(math.exp(v) for v in logits))
                total -= sum(p * (v - norm) for p, v in zip(teacher[t, image].tolist(), logits, strict=True))
    assert pairs == 8
    assert cross_view(student, teacher, 0.3).item() == pytest.approx(total / pairs / 3, rel=1e-5)


def test_the_teacher_gets_no_gradient_and_stays_as_it_was():
    student, logits = torch.randn(3, 2, 4, requires_grad=True), torch.randn(2, 2, 4, requires_grad=True)
    target = sharpened(logits, torch.zeros(4), 0.04)
    before = target.clone()
    cross_view(student, target, 0.1).backward()
    assert not target.requires_grad and student.grad.any() and target.equal(before)
    loose = torch.rand(2, 2, 4, requires_grad=True)
    cross_view(student, loose, 0.1).backward()
    assert loose.grad is None


def test_what_all_images_have_in_common_says_nothing_and_a_low_temperature_says_more():
    """A teacher that has collapsed to one answer is undecided once centered; what differs is sharpened."""
    common = torch.tensor([5.0, 1.0, 0.0])
    flat = sharpened(common.expand(2, 4, 3), common, 0.04)
    torch.testing.assert_close(flat, torch.full((2, 4, 3), 1 / 3))
    uniform = cross_view(torch.zeros(3, 4, 3), flat, 0.1)
    assert uniform.item() == pytest.approx(math.log(3), rel=1e-5)
    assert cross_view(common.expand(3, 4, 3), flat, 0.1) > uniform, "nothing is won by the same answer"
    little = torch.tensor([0.1, 0.0, 0.0])
    assert sharpened(little, torch.zeros(3), 0.04)[0] > 0.8 > 0.4 > sharpened(little, torch.zeros(3), 1.0)[0]
    assert sharpened(little.bfloat16(), torch.zeros(3), 1.0).dtype == torch.float32
