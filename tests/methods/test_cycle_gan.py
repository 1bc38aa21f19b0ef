import functools

import pytest
import torch

from halfmask import testing
from halfmask.data.batch import Batch
from halfmask.learning.clock import Clock
from halfmask.learning.minimize import Minimizer
from halfmask.methods.adaptation.cycle_gan import CycleGAN
from halfmask.methods.semisupervised.supervised import Supervised


def made(dims=2, **settings):
    torch.manual_seed(0)
    network = testing.small(dims, norm="instance")
    return testing.arranged(CycleGAN(network, width=4, blocks=1, **settings))


class Heard(Minimizer):
    """Notes which networks each loss was given for, and moves nothing."""

    def __call__(self, networks, **losses):
        listed = [networks] if isinstance(networks, torch.nn.Module) else networks
        self.losses |= losses
        self.given = getattr(self, "given", {}) | {name: [self.names[n] for n in listed] for name in losses}


def test_who_learns_from_what():
    method = made()
    minimize = testing.minimizer(method, Heard)
    method.step(testing.some_batch(2), minimize, Clock(50, 100))
    translators = ["to_target", "to_source"]
    assert minimize.given == {
        "cycle": translators, "semantic": translators, "adversarial": translators, "critic": ["critic"],
        "critic_source": ["source_critic"], "supervised": ["student"], "supervised_translated_labeled": ["student"],
    }  # fmt: skip


def test_the_losses_of_translation():
    """There and back again an image is itself; the critics call translations false and real images true."""
    method, batch = made(game="least_squares", spectral=False), testing.some_batch(2)
    x, u = batch.labeled.image, batch.unlabeled.image
    minimize = testing.minimizer(method, Heard)
    method.step(batch, minimize, Clock(50, 100))
    with torch.no_grad():
        there, back = method.to_target(x), method.to_source(u)
        away = [(method.to_source(there) - x).abs(), (method.to_target(back) - u).abs()]
        cycle = sum(d.square().where(d < 0.5, d - 0.25).mean() for d in away)
        critic, other = method.critic.places, method.source_critic.places
        pass_for_real = ((critic(there[::2]) - 1) ** 2).mean() / 2 + ((other(back) - 1) ** 2).mean() / 2
        judged = ((critic(u) - 1) ** 2).mean() / 2 + (critic(there[::2]) ** 2).mean() / 2
        judged_source = ((other(x[::2]) - 1) ** 2).mean() / 2 + (other(back) ** 2).mean() / 2
    torch.testing.assert_close(minimize.losses["cycle"], method.cycle * cycle)
    torch.testing.assert_close(minimize.losses["adversarial"], pass_for_real)
    torch.testing.assert_close(minimize.losses["critic"], judged)
    torch.testing.assert_close(minimize.losses["critic_source"], judged_source)


def test_translations_are_learned_from_after_the_start_alone():
    batch = testing.some_batch(2)
    for progress, there in ((20, False), (40, True)):
        minimize = testing.minimizer(method := made(start=0.3), Heard)
        method.step(batch, minimize, Clock(progress, 100))
        assert {"supervised_translated_labeled" in minimize.losses, "semantic" in minimize.losses} == {there}


def test_translators_that_leave_all_as_it_is_cost_nothing_but_what_the_critics_see():
    torch.manual_seed(0)
    method = CycleGAN(testing.small(2), width=4, blocks=1)
    minimize = testing.minimizer(method, Heard)
    method.step(testing.some_batch(2), minimize, Clock(50, 100))
    assert minimize.losses["cycle"] == 0 and minimize.losses["adversarial"] > 0


@pytest.mark.parametrize("dims", [2, 3])
def test_only_the_channels_that_differ_are_translated(dims):
    method, x = made(dims, channels=(1,)), testing.some_batch(dims).labeled.image
    with torch.no_grad():
        assert method.to_target(x)[:, 0].equal(x[:, 0]) and not method.to_target(x)[:, 1].equal(x[:, 1])
    with pytest.raises(ValueError, match="images have channels 0 to 1, got channels = 2, -1"):
        made(dims, channels=(0, 2, -1))


def test_a_target_of_other_intensities_is_segmented():
    """One channel is brighter and has half the contrast there. A network that learns from source images alone takes all
    for the brightest class; one that learns from their translations too does not."""
    settings = {"cycle": 1.0, "start": 0.3, "translator_rate": 0.01, "critic_rate": 0.01}
    right = {}
    for made in (Supervised, functools.partial(CycleGAN, channels=(0,), width=4, blocks=1, **settings)):
        torch.manual_seed(0)
        method = testing.begun(made(testing.small(2)))
        minimize = Minimizer(method, method.optimizers(functools.partial(torch.optim.Adam, lr=0.01)))
        for step in range(100):
            batch = testing.some_batch(2)
            changed = batch.unlabeled.with_(image=brighter(batch.unlabeled.image))
            method.step(Batch(batch.labeled, changed), minimize, Clock(step, 100))
        minimize.check()
        torch.manual_seed(1)
        unseen = testing.some_batch(2, labeled=16).labeled
        found = method.eval().predict(brighter(unseen.image)).argmax(1)
        right[type(method)] = (found == unseen.label).float().mean().item()
    assert right[Supervised] < 0.4 and right[CycleGAN] > 0.5, right


def brighter(image):
    return torch.cat([0.5 * image[:, :1] + 4, image[:, 1:]], 1)
