import pytest
import torch

from halfmask import testing
from halfmask.augment.mixing import Mixup
from halfmask.learning.clock import Clock
from halfmask.learning.schedules import sigmoid_rampup
from halfmask.methods.semisupervised.interpolation_consistency import InterpolationConsistency


def consistency(method, batch):
    minimize = testing.minimizer(method)
    method.step(batch, minimize, Clock(500, 1000))
    return minimize.figures["consistency"]


@pytest.fixture
def blend(monkeypatch):
    """Fix what is blended: each image with the next, by shares λ."""

    def fix(*shares):
        mix = Mixup(torch.tensor(shares), torch.tensor([1, 2, 0]))
        monkeypatch.setattr(Mixup, "draw", lambda *_: mix)

    return fix


def made(**settings):
    torch.manual_seed(0)
    return InterpolationConsistency(testing.small(2, norm="instance"), **settings).train()


def test_unblended_it_compares_student_and_teacher_on_the_same_image(blend):
    blend(1.0, 1.0, 1.0)
    assert consistency(made(), testing.some_batch(2)) == 0  # a fresh teacher is its student
    method, batch = testing.arranged(made(weight=0.7)), testing.some_batch(2)
    u = batch.unlabeled.image
    with torch.no_grad():
        error = (method.student(u).softmax(1) - method.teacher(u).softmax(1)).square().mean()
    torch.testing.assert_close(consistency(method, batch), 0.7 * sigmoid_rampup(0.5) * error)


def test_images_and_what_is_said_of_them_are_blended_alike(blend):
    shares = (0.3, 0.9, 0.5)
    blend(*shares)
    method, batch = testing.arranged(made(weight=1.0)), testing.some_batch(2)
    u = batch.unlabeled.image
    error = 0.0
    with torch.no_grad():
        for n, share in enumerate(shares):
            one, two = u[n : n + 1], u[[(n + 1) % 3]]
            said = share * method.teacher(one).softmax(1) + (1 - share) * method.teacher(two).softmax(1)
            error += (method.student(share * one + (1 - share) * two).softmax(1) - said).square().mean() / 3
    torch.testing.assert_close(consistency(method, batch), sigmoid_rampup(0.5) * error, rtol=1e-4, atol=1e-6)
