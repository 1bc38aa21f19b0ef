import copy
import functools

import pytest
import torch

from halfmask import testing
from halfmask.data.batch import Batch
from halfmask.learning.clock import Clock
from halfmask.learning.minimize import Minimizer
from halfmask.losses.adversarial import calling
from halfmask.methods.adaptation.adversarial_outputs import AdversarialOutputs

GAMES = ["cross_entropy", "least_squares", "wasserstein"]


def made(**settings):
    torch.manual_seed(0)
    return testing.arranged(AdversarialOutputs(testing.small(2, norm="instance"), **settings))


def shifted(batch, by=1.0):
    return Batch(batch.labeled, batch.unlabeled.with_(image=batch.unlabeled.image + by))


@pytest.mark.parametrize("spectral", [True, False])
@pytest.mark.parametrize("game", GAMES)
def test_the_critic_learns_to_tell_the_domains_apart_in_every_game(game, spectral):
    """The student, whose rate is 0, stands still all the while."""
    method = made(game=game, spectral=spectral, critic_rate=1e-3)
    sgd = functools.partial(torch.optim.SGD, lr=0.0)
    minimize, before = Minimizer(method, method.optimizers(sgd)), copy.deepcopy(method.student.state_dict())
    told = []
    for step in range(60):
        method.step(shifted(testing.some_batch(2, labeled=8, unlabeled=4), 2.0), minimize, Clock(step, 60))
        told.append(minimize.logged["told_apart"].item())
    minimize.check()
    assert sum(told[-20:]) / 20 > 0.8
    assert all(value.equal(before[name]) for name, value in method.student.state_dict().items())


@pytest.mark.parametrize("game", GAMES)
def test_the_student_learns_to_pass_for_the_source_and_the_critic_does_not_help(game):
    method = made(game=game, weight=1.0)
    batch, critic = shifted(testing.some_batch(2)), copy.deepcopy(method.critic.state_dict())

    class Fools(Minimizer):
        def __call__(self, networks, **losses):
            if networks is method.student:
                super().__call__(networks, adversarial=losses["adversarial"])

    minimize = testing.minimizer(method, Fools)
    told = []
    for _ in range(10):
        method.step(batch, minimize, Clock(50, 100))
        told.append(minimize.losses["adversarial"].item())
    assert told[-1] < told[0]
    moved = [name for name, value in method.critic.state_dict().items() if not value.equal(critic[name])]
    assert all(name.endswith(("._u", "._v")) for name in moved)  # what spectral norm keeps of its last look


def test_the_losses_are_the_papers():
    """Source masks are true, target masks are not; the student's loss is weighted and of the target alone."""
    method, batch = made(weight=0.3, spectral=False), testing.some_batch(2)
    with torch.no_grad():
        masks = method.student(batch.image).softmax(1)
        scores = method.critic.places(masks)
        critic = calling(scores[:2][::2], True).mean() + calling(scores[2:], False).mean()
    minimize = testing.minimizer(method)
    method.step(batch, minimize, Clock(50, 100))
    torch.testing.assert_close(minimize.losses["critic"], critic)
    with torch.no_grad():
        wanted = 0.3 * calling(method.critic.places(masks[2:]), True).mean()  # the critic has moved, the masks not
    torch.testing.assert_close(minimize.losses["adversarial"], wanted)


def test_each_domain_has_statistics_of_its_own_if_asked():
    """A target that is brighter than the source is normalized by itself, and predicted so."""
    torch.manual_seed(0)
    method = AdversarialOutputs(testing.small(2, norm="batch"), norms="domain").train()
    batch = testing.some_batch(2)
    for step in range(20):
        method.step(shifted(batch, 5.0), testing.minimizer(method), Clock(step, 40))
    norm = next(m for m in method.student.modules() if hasattr(m, "target_mean"))
    assert norm.target_mean.abs().max() > 0.5 > norm.running_mean.abs().max()
    with pytest.raises(ValueError, match=r"network.norm=batch, or leave out norms=domain"):
        AdversarialOutputs(testing.small(2, norm="instance"), norms="domain")
