import copy
import itertools
import math

import pytest
import torch

from halfmask import testing
from halfmask.augment.views import strong
from halfmask.learning.clock import Clock
from halfmask.losses.distillation import sharpened
from halfmask.methods.pretraining.dino import DINO
from halfmask.networks.factory import Builder

TINY = dict(prototypes=12, hidden=8, bottleneck=6)


def made(dims=2, **settings):
    torch.manual_seed(0)
    method = testing.arranged(DINO(testing.small(dims), **TINY | settings))
    method.center.normal_(std=0.3)
    return method


def stepped(method, clock=None, images=4):
    minimize = testing.minimizer(method)
    torch.manual_seed(3)
    method.step(testing.some_batch(2, labeled=0, unlabeled=images), minimize, clock or Clock(50, 100))
    return minimize.figures["distillation"]


@pytest.mark.parametrize("local", [0, 3])
def test_the_student_is_to_say_of_each_crop_what_the_teacher_says_of_each_other(local):
    method = made(local=local, share=0.5, least=0.1, temperature=0.2, teacher_temperature=0.06)
    twin, n = copy.deepcopy(method), 3
    found = stepped(method, images=n)

    torch.manual_seed(3)
    u = testing.some_batch(2, labeled=0, unlabeled=n).unlabeled.image

    def crops(count, shape, share):
        many = torch.cat([u] * count)
        return strong(twin.space.crop(many, shape, share=share).image(many))

    large = crops(2, (16, 16), (0.5, 1.0))
    said, told = twin.teacher_head(twin.teacher.embed(large)), twin.head(twin.student.embed(large))
    if local:
        told = torch.cat([told, twin.head(twin.student.embed(crops(local, (8, 8), (0.1, 0.5))))])
    total, pairs = 0.0, 0
    for t, s in itertools.product(range(2), range(2 + local)):
        if t != s:
            pairs += 1
            for image in range(n):
                p = ((said[t * n + image] - twin.center) / 0.06).softmax(0)
                total -= (p * (told[s * n + image] / 0.2).log_softmax(0)).sum().item() / n
    assert pairs == (2 if not local else 2 * (1 + local))
    assert found.item() == pytest.approx(total / pairs, rel=1e-4)


def test_the_teacher_is_an_average_and_the_center_follows_what_it_says_of_the_batch():
    method = made(momentum=0.9, center=0.7)
    twin, said = copy.deepcopy(method), []
    method.teacher_head.register_forward_hook(lambda _, given, out: said.append(out))
    stepped(method, Clock(25, 100))
    momentum = 1 - 0.1 * 0.5 * (1 + math.cos(math.pi * 0.25))
    for teacher, student in [("teacher", "student"), ("teacher_head", "head")]:
        before, now = (dict(getattr(*who).named_parameters()) for who in ((twin, teacher), (method, student)))
        for key, value in getattr(method, teacher).named_parameters():
            torch.testing.assert_close(value, momentum * before[key] + (1 - momentum) * now[key])
            assert not value.requires_grad and value.grad is None
    assert said[0].shape == (8, 12)
    torch.testing.assert_close(method.center, 0.7 * twin.center + 0.3 * said[0].mean(0))


def test_the_first_center_is_what_the_teacher_says_of_the_first_batch():
    method, said = made(), []
    method.teacher_head.register_forward_hook(lambda _, given, out: said.append(out))
    stepped(method, Clock(0, 100))
    torch.testing.assert_close(method.center, said[0].mean(0))


def test_a_teacher_that_says_the_same_of_all_teaches_nothing():
    """Its centered word is uniform, and the student's loss no less than log K."""
    method = made()
    for p in method.teacher_head.layers.parameters():
        p.zero_()
    method.teacher_head.layers[-1].bias.fill_(1.0)
    with torch.no_grad():
        said = method.teacher_head(torch.randn(4, method.student.widths[-1]))
    method.center.copy_(said[0])
    torch.testing.assert_close(sharpened(said, method.center, 0.04), torch.full((4, 12), 1 / 12))
    assert stepped(method) >= math.log(12) - 1e-4


def test_prototypes_stay_at_first():
    for step, stay in [(9, True), (10, False)]:
        method = made(frozen=0.1)
        before = method.head.prototypes.clone()
        stepped(method, Clock(step, 100))
        assert method.head.prototypes.equal(before) == stay


def test_rate_and_temperature_rise_as_the_network_asks():
    method = made(warmup=0.2)
    assert [method.rate(Clock(step, 100), 0.5) for step in (0, 9, 19, 80)] == pytest.approx([0.025, 0.25, 0.5, 0.5])
    assert method._teacher_temperature(Clock(90, 100)) == 0.04
    swin = Builder("swin_unet", channels=1, classes=2, dims=2, patch=(32, 32), settings={"embed": 12})
    method = DINO(swin, warmup=0.2, **TINY)
    temperatures = [method._teacher_temperature(Clock(step, 100)) for step in (0, 10, 20, 90)]
    assert temperatures == pytest.approx([0.04, 0.055, 0.07, 0.07])
    assert DINO(swin, teacher_temperature=0.02, **TINY)._teacher_temperature(Clock(50, 100)) == 0.02


def test_local_crops_are_half_as_large_where_the_network_takes_them():
    assert made().small == (8, 8) and made(3).small == (8, 8, 8)
    unetr = {"hidden_size": 24, "layers": 4, "heads": 2, "mlp": 24, "feature_size": 4}
    network = Builder("unetr", channels=1, classes=2, dims=2, patch=(32, 64), settings=unetr)
    assert DINO(network, **TINY).small == (32, 64)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="--batch 2"):
        stepped(made(), images=1)
    with pytest.raises(ValueError, match=r"least=0\.5 to share=0\.4"):
        made(least=0.5)
