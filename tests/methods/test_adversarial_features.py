import pytest
import torch

from halfmask import testing
from halfmask.learning.clock import Clock
from halfmask.losses.adversarial import calling
from halfmask.methods.adaptation.adversarial_features import AdversarialFeatures


def made(**settings):
    torch.manual_seed(0)
    return testing.arranged(AdversarialFeatures(testing.small(2, norm="instance"), **settings))


def test_the_critic_sees_maps_of_every_level_and_each_domain_is_to_pass_for_the_other():
    method, batch = made(spectral=False), testing.some_batch(2)
    with torch.no_grad():
        maps = method.student.decode(method.student.encode(batch.image))
    minimize = testing.minimizer(method)
    method.step(batch, minimize, Clock(75, 100))
    with torch.no_grad():
        scores = method.critic.places(*maps)  # of a critic that has moved, as the student saw it
        wanted = (calling(scores[2:], True).mean() + calling(scores[:2][::2], False).mean()) / 2
    torch.testing.assert_close(minimize.losses["adversarial"], 0.5 * wanted)
    assert len(method.critic.inputs) == len(maps) == 2


@pytest.mark.parametrize(("progress", "ramp", "share"), [(0, 0.5, 0), (25, 0.5, 0.5), (75, 0.5, 1), (0, 0.0, 1)])
def test_the_weight_rises_linearly(progress, ramp, share):
    batch = testing.some_batch(2)
    losses = []
    for weight in (0.5, 1.0):
        minimize = testing.minimizer(method := made(weight=weight, ramp=ramp if weight == 0.5 else 0.0))
        method.step(batch, minimize, Clock(progress, 100))
        losses.append(minimize.losses["adversarial"].item())
    assert losses[0] == pytest.approx(0.5 * share * losses[1], rel=1e-4)
