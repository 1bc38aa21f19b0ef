"""Classification: whole images told apart, on tiny encoders."""

import functools

import pytest
import torch
from torch import nn

from halfmask import methods, testing
from halfmask.learning.clock import Clock
from halfmask.learning.minimize import Minimizer
from halfmask.methods.classification.classification import Classification
from halfmask.networks.factory import Builder


@pytest.fixture(params=[2, 3], ids=["2d", "3d"])
def dims(request):
    torch.manual_seed(0)
    return request.param


@pytest.mark.parametrize("check", testing.CLASSIFICATION_CHECKS, ids=lambda c: c.__name__.removeprefix("check_"))
@pytest.mark.parametrize("exclusive", [True, False], ids=["classes", "labels"])
@pytest.mark.parametrize("name", sorted(methods.names("classification")))
def test_conforms(name, check, dims, exclusive):
    check(methods.find(name), dims, exclusive)


@pytest.mark.parametrize("name", sorted(methods.names("classification")))
def test_says_where_it_comes_from(name):
    testing.check_says_where_it_comes_from(methods.find(name))


@pytest.mark.parametrize("name", ["resnet18", "vit_ti16", "unet", "swin_unet", "unetr"])
def test_any_encoder_classifies(name):
    """Each of another kind: mean of the bottleneck, or class token."""
    settings = {
        "resnet18": dict(width=4, blocks=(1, 1, 1, 1)),
        "vit_ti16": dict(hidden_size=12, layers=2, heads=2),
        "unet": dict(width=4),
        "swin_unet": dict(embed=8, token=2, window=2, depths=(1, 1), heads=(1, 2)),
        "unetr": dict(feature_size=4, hidden_size=16, layers=4, heads=2, mlp=32),
    }
    builder = Builder(name, channels=2, classes=3, dims=2, patch=(32, 32), settings=settings[name])
    method = Classification(builder)
    assert not hasattr(method.student, "decoder") or isinstance(method.student.decoder, nn.Identity)
    assert method.predict(torch.randn(2, 2, 32, 32)).shape == (2, 3)


@pytest.mark.parametrize("exclusive", [True, False], ids=["classes", "labels"])
def test_learns(exclusive):
    torch.manual_seed(0)
    method = Classification(testing.small(2, exclusive=exclusive)).train()
    minimize = Minimizer(method, method.optimizers(functools.partial(torch.optim.Adam, lr=0.01)))
    for step in range(60):
        method.step(testing.some_images(2, exclusive=exclusive, labeled=12), minimize, Clock(step, 60))
    unseen = testing.some_images(2, exclusive=exclusive, labeled=60).labeled
    p = method.eval().predict(unseen.image)
    right = p.argmax(1) == unseen.label if exclusive else (p > 0.5).long() == unseen.label
    assert right.float().mean() > 0.8


def test_balance_finds_more_of_what_is_rare():
    """Two classes that overlap, one ten times rarer: unweighed the rare one is seldom decided for."""

    def share(balance):
        torch.manual_seed(0)
        method = Classification(testing.small(2), balance=balance).train()
        method.count(torch.tensor([20, 220, 0]))
        minimize = Minimizer(method, method.optimizers(functools.partial(torch.optim.Adam, lr=0.01)))
        for step in range(40):
            batch = testing.some_images(2, labeled=24).labeled
            label = torch.where(torch.arange(24) < 22, 1, 0)
            image = label.view(-1, 1, 1, 1) + torch.randn(24, 1, 1, 1) + 0.1 * torch.randn_like(batch.image)
            method.step(testing.given.Batch(batch.with_(image=image, label=label), batch), minimize, Clock(step, 40))
        image = torch.randn(200, 1, 1, 1) + 0.1 * torch.randn(200, 2, 16, 16)  # all of the rare class
        return (method.eval().predict(image).argmax(1) == 0).float().mean()

    assert share(1.0) > share(0.0) + 0.2


def test_the_head_of_another_class_count_begins_anew():
    """What is kept is the encoder: it goes over whatever the classes."""
    one, other = (
        Classification(Builder("resnet18", channels=2, classes=k, dims=2, patch=(32, 32), settings={"width": 4}))
        for k in (2, 5)
    )
    from halfmask.networks.keys.source import Weights
    from halfmask.training.transfer import transfer_all

    told = transfer_all([Weights("a resnet18", None, one.student.state_dict())], other, where="there")
    assert "100.0% of the parameters" in told["student"]
    torch.testing.assert_close(other.student.state_dict(), one.student.state_dict())
