import copy
import functools

import pytest
import torch

from halfmask import testing
from halfmask.data.batch import Batch
from halfmask.learning.clock import Clock
from halfmask.learning.schedules import sigmoid_rampup
from halfmask.methods.semisupervised.mean_teacher import MeanTeacher

CLOCK = Clock(500, 1000)


def made(norm="instance", **settings):
    torch.manual_seed(0)
    return MeanTeacher(testing.small(2, norm=norm), **settings).train()


def losses(method, batch, clock=CLOCK):
    minimize = testing.minimizer(method)
    method.step(batch, minimize, clock)
    return minimize.figures


def test_without_noise_a_teacher_that_equals_its_student_agrees():
    assert losses(made(noise=0.0), testing.some_batch(2))["consistency"] == 0
    assert losses(made(noise=0.1), testing.some_batch(2))["consistency"] > 0


def test_the_consistency_is_lambda_ramp_mse():
    method = testing.arranged(made(noise=0.0, weight=0.7))
    batch = testing.some_batch(2)
    u = batch.unlabeled.image
    with torch.no_grad():
        error = (method.student(u).softmax(1) - method.teacher(u).softmax(1)).square().mean()
    told = losses(method, batch)["consistency"]
    torch.testing.assert_close(told, 0.7 * sigmoid_rampup(0.5) * error)


@pytest.mark.parametrize("decay", [0.0, 0.9, 0.99])
def test_the_teacher_follows_after_the_student_has_moved(decay):
    method = testing.arranged(made("batch", decay=decay))
    before = copy.deepcopy(method.teacher.state_dict())
    losses(method, testing.some_batch(2))
    for name, value in method.teacher.state_dict().items():
        moved = method.student.state_dict()[name]
        if value.is_floating_point():
            torch.testing.assert_close(value, decay * before[name] + (1 - decay) * moved, msg=name)


def test_the_first_step_forgets_half():
    method = testing.arranged(made(decay=0.99))
    before = copy.deepcopy(method.teacher.state_dict())
    losses(method, testing.some_batch(2), Clock(0, 1000))
    for name, value in method.teacher.state_dict().items():
        torch.testing.assert_close(value, (before[name] + method.student.state_dict()[name]) / 2)


def test_which_half_counts():
    batch, other = testing.some_batch(2), testing.some_batch(2)
    for on, counts in (("unlabeled", False), ("all", True)):
        method = functools.partial(made, on=on)
        torch.manual_seed(1)
        plain = losses(testing.arranged(method(noise=0.0)), batch)["consistency"]
        torch.manual_seed(1)
        changed = losses(testing.arranged(method(noise=0.0)), Batch(other.labeled, batch.unlabeled))["consistency"]
        assert bool(plain != changed) is counts, on


def test_predicts_with_the_network_asked_for():
    image = testing.some_batch(2).image
    for name in ("teacher", "student"):
        method = testing.arranged(made(predict_with=name)).eval()
        own = {n: getattr(method, n)(image).softmax(1) for n in ("teacher", "student")}
        assert torch.equal(method.predict(image), own[name])
        assert not torch.equal(own["teacher"], own["student"])


def test_only_the_student_has_an_optimizer():
    assert set(testing.minimizer(made()).optimizers) == {"student"}
