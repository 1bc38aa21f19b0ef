import copy
import functools

import pytest
import torch

from halfmask import testing
from halfmask.data.batch import Batch
from halfmask.learning.clock import Clock
from halfmask.learning.minimize import Minimizer
from halfmask.learning.schedules import sigmoid_rampup
from halfmask.methods.semisupervised.deep_adversarial import DeepAdversarial

LATE = Clock(500, 1000)


def made(**settings):
    torch.manual_seed(0)
    return testing.arranged(DeepAdversarial(testing.small(2, norm="instance"), **settings)).train()


def losses(method, batch, clock=LATE):
    minimize = testing.minimizer(method)
    method.step(batch, minimize, clock)
    return minimize.figures


def test_the_critic_learns_to_tell_the_halves_apart():
    """They differ by their brightness here. The student, whose rate is 0, stands still all the while."""
    method = made(critic_rate=1e-3)
    minimize = Minimizer(method, method.optimizers(functools.partial(torch.optim.SGD, lr=0.0)))
    before = copy.deepcopy(method.student.state_dict())
    for step in range(40):
        batch = testing.some_batch(2)
        bright = batch.unlabeled.with_(image=batch.unlabeled.image + 0.5)
        method.step(Batch(batch.labeled, bright), minimize, Clock(step, 40))
    batch = testing.some_batch(2, labeled=50, unlabeled=50)
    with torch.no_grad():
        image = batch.image
        image[50:] += 0.5
        scores = method.judged(image, method.student(image))
    assert (scores[:50] > 0).float().mean() > 0.9 and (scores[50:] < 0).float().mean() > 0.9
    assert all(value.equal(before[name]) for name, value in method.student.state_dict().items())


def test_the_student_makes_unlabeled_images_pass_and_the_critic_does_not_help():
    """Down its adversarial loss alone their scores rise; the losses are −log of what is wanted, image by image."""
    method, batch = made(weight=0.3), testing.some_batch(2)
    u = batch.unlabeled.image
    student, critic = copy.deepcopy(method.student), copy.deepcopy(method.critic)
    with torch.no_grad():
        image = torch.cat([batch.image, student(batch.image).softmax(1)], 1)
        likely = critic(image).sigmoid()
    told = losses(method, batch)
    with torch.no_grad():
        moved = method.critic(image).sigmoid()
    assert told["critic_labeled"].item() == pytest.approx(sum(-d.log() for d in likely[:2]).item() / 2, rel=1e-5)
    assert told["critic_unlabeled"].item() == pytest.approx(
        sum(-(1 - d).log() for d in likely[2:]).item() / 3, rel=1e-5
    )
    wanted = 0.3 * sigmoid_rampup(0.5) * sum(-d.log() for d in moved[2:]).item() / 3
    assert told["adversarial"].item() == pytest.approx(wanted, rel=1e-4)
    assert not moved.equal(likely)

    class Fools(Minimizer):
        def __call__(self, networks, **losses):
            if networks is method.student:
                super().__call__(networks, adversarial=losses["adversarial"])

    critic = copy.deepcopy(method.critic.state_dict())
    score = lambda: method.judged(u, method.student(u)).mean().item()
    minimize, scores = testing.minimizer(method, Fools), [score()]
    for _ in range(10):
        method.step(batch, minimize, Clock(999, 1000))
    assert score() > scores[0]
    assert all(value.equal(critic[name]) for name, value in method.critic.state_dict().items())


def test_ramp_and_share_told_apart():
    batch = testing.some_batch(2)
    early = Clock(0, 1000)
    ratio = losses(made(), batch, early)["adversarial"] / losses(made(ramp=False), batch, early)["adversarial"]
    assert ratio.item() == pytest.approx(sigmoid_rampup(0), rel=1e-5)
    method = made()
    method.judged = lambda image, logits: (
        torch.tensor([1.0, 1, -1, -1, 1])[: len(image)]
        + 0 * logits.sum()
        + 0 * sum(p.sum() for p in method.critic.parameters())
    )
    assert losses(method, batch)["told_apart"].item() == pytest.approx((1 + 2 / 3) / 2)
