import copy

import pytest
import torch
from torch import nn

from halfmask.learning.average import average_of, follow, warm


@pytest.fixture
def student():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Dropout(0.5), nn.Conv2d(3, 2, 1))


def learned(student):
    """A student some steps on: other weights, and statistics of batches that it saw."""
    with torch.no_grad():
        for p in student.parameters():
            p.add_(torch.randn_like(p))
        for _ in range(3):
            student(3 + 2 * torch.randn(4, 2, 8, 8))
    return student


@pytest.mark.parametrize("decay", [0.0, 0.9, 1.0])
def test_follows_weights_and_statistics_by_alpha(student, decay):
    teacher = average_of(student)
    before = copy.deepcopy(teacher.state_dict())
    follow(teacher, learned(student), decay)
    for name, value in teacher.state_dict().items():
        now = student.state_dict()[name]
        if value.is_floating_point():
            torch.testing.assert_close(value, decay * before[name] + (1 - decay) * now, msg=name)
        else:
            assert value == now == 3, "counters are copied"
    assert not any(p.requires_grad for p in teacher.parameters())
    assert all(p.requires_grad for p in student.parameters())


def test_a_teacher_at_work_keeps_its_statistics(student):
    """It runs in training mode, for its dropout: its own batches must not mix into what it follows."""
    teacher = average_of(learned(student)).train()
    before = copy.deepcopy(teacher.state_dict())
    teacher(100 + torch.randn(4, 2, 8, 8))
    assert torch.equal(teacher[1].running_mean, before["1.running_mean"])
    assert torch.equal(teacher[1].running_var, before["1.running_var"])
    assert student[1].momentum == 0.1, "the student goes on as before"


def test_a_teacher_is_no_student(student):
    teacher = average_of(student)
    own = {p.data_ptr() for p in student.state_dict().values()}
    assert own.isdisjoint(p.data_ptr() for p in teacher.state_dict().values())


def test_the_first_steps_are_a_true_mean():
    """θ'ₜ under the warm decay is the plain mean of what was seen, until α is reached."""
    mean = seen = torch.zeros(())
    for step in range(9):
        value = torch.tensor(float(step + 1) ** 2)
        mean = warm(0.9, step) * mean + (1 - warm(0.9, step)) * value
        seen = seen + value
        if warm(0.9, step) < 0.9:
            torch.testing.assert_close(mean, seen / (step + 2))  # the first weights count as one
    assert warm(0.99, 0) == 0.5
    assert warm(0.99, 10**6) == 0.99
    assert [warm(0.99, t) for t in range(200)] == sorted(warm(0.99, t) for t in range(200))
