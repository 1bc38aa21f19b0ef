import math

import pytest
import torch

from halfmask.losses.contrastive import subject_contrast


def test_it_is_a_slow_loop_over_other_subjects_views():
    one, other, case, temperature = torch.randn(5, 7), torch.randn(5, 7), torch.tensor([4, 0, 4, 2, 0]), 0.3
    s = lambda a, b: float(a @ b / a.norm() / b.norm()) / temperature
    total = 0.0
    for i in range(5):
        below = 0.0
        for k in range(5):
            if case[k] != case[i]:
                below += math.exp(s(one[i], one[k])) + math.exp(s(one[i], other[k]))
        total += math.log(below) - s(one[i], other[i])
    assert subject_contrast(one, other, case, temperature).item() == pytest.approx(total / 5, rel=1e-5)


def test_without_another_subject_it_is_nothing_with_a_gradient():
    one, other = (torch.randn(3, 4, requires_grad=True) for _ in range(2))
    loss = subject_contrast(one, other, torch.tensor([1, 1, 1]), 0.5)
    loss.backward()
    assert loss == 0 and not one.grad.any() and not other.grad.any()
    loss = subject_contrast(one.bfloat16(), other.bfloat16(), torch.tensor([1, 1, 2]), 0.5)
    loss.backward()
    assert loss.dtype == torch.float32 and one.grad.isfinite().all() and other.grad.any()
