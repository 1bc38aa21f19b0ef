import math

import pytest
import torch

from halfmask import testing
from halfmask.learning.clock import Clock
from halfmask.losses.adversarial import calling
from halfmask.methods.adaptation.advent import Advent


def made(exclusive=True, **settings):
    torch.manual_seed(0)
    return testing.arranged(Advent(testing.small(2, exclusive=exclusive, norm="instance"), **settings))


@pytest.mark.parametrize("exclusive", [True, False])
def test_the_critic_sees_self_information(exclusive):
    """−p log p of each class, which sums to the entropy; of a region what is not of it counts too."""
    method = made(exclusive)
    logits = torch.tensor([[2.0, 0.0, -300.0]]).view(1, 3, 1, 1)
    found = method.information(logits).flatten().tolist()
    p = method.probability(logits).flatten().tolist()
    part = lambda q: -q * math.log(q) if q > 1e-8 else 0
    expected = [part(q) + (0 if exclusive else part(1 - q)) for q in p]
    assert found == pytest.approx(expected, abs=1e-6)


def test_the_critics_and_the_students_losses():
    method, batch = made(weight=0.2, spectral=False), testing.some_batch(2)
    with torch.no_grad():
        p = method.student(batch.image).softmax(1)
        maps = -p * p.clamp(min=1e-8).log()
        scores = method.critic.places(maps)
        critic = calling(scores[:2][::2], True).mean() + calling(scores[2:], False).mean()
    minimize = testing.minimizer(method)
    method.step(batch, minimize, Clock(50, 100))
    torch.testing.assert_close(minimize.losses["critic"], critic, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        wanted = 0.2 * calling(method.critic.places(maps[2:]), True).mean()
    torch.testing.assert_close(minimize.losses["adversarial"], wanted, rtol=1e-4, atol=1e-5)


def test_directly_the_entropy_itself_goes_down_without_a_critic():
    method, batch = made(by="entropy", weight=0.5), testing.some_batch(2)
    assert Advent(testing.small(2), by="entropy").weight == 0.001 and Advent(testing.small(2)).weight == 0.3
    assert not hasattr(method, "critic") and set(method.optimizers(torch.optim.Adam)) == {"student"}
    with torch.no_grad():
        p = method.student(batch.unlabeled.image).softmax(1)
        entropy = (-p * p.clamp(min=1e-30).log()).sum(1).mean() / math.log(3)
    minimize = testing.minimizer(method)
    method.step(batch, minimize, Clock(50, 100))
    torch.testing.assert_close(minimize.losses["entropy"], 0.5 * entropy, rtol=1e-4, atol=1e-5)
    testing.check_halves(lambda network: Advent(network, by="entropy"), 2)
