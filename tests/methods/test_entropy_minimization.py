import pytest
import torch

from halfmask import testing
from halfmask.learning.clock import Clock
from halfmask.learning.schedules import sigmoid_rampup
from halfmask.methods.semisupervised.entropy_minimization import EntropyMinimization


def losses(method, batch, clock=None):
    minimize = testing.minimizer(method)
    method.step(batch, minimize, clock or Clock(500, 1000))
    return minimize.figures


def made(**settings):
    torch.manual_seed(0)
    return EntropyMinimization(testing.small(2, norm="instance"), **settings).train()


@pytest.mark.parametrize(("settings", "weight"), [({}, 0.1 * sigmoid_rampup(0.5)), ({"weight": 1.0, "ramp": False}, 1)])
def test_a_network_that_knows_nothing_pays_the_whole_weight(settings, weight):
    method = made(**settings)
    for p in method.student.head.parameters():
        torch.nn.init.zeros_(p)
    assert losses(method, testing.some_batch(2))["entropy"].item() == pytest.approx(weight, rel=1e-5)


def test_it_makes_the_network_decide_about_unlabeled_images():
    batch, left = testing.some_batch(2), {}
    for weight in (0.0, 1.0):
        method = made(weight=weight, ramp=False)
        minimize = testing.minimizer(method)
        for step in range(100):
            method.step(batch, minimize, Clock(step, 100))
        with torch.no_grad():
            left[weight] = method.entropy(method.predict(batch.unlabeled.image)).mean().item()
    assert left[1.0] < 0.9 * left[0.0]
