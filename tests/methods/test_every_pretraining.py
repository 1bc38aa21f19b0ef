"""What holds for every pre-training method. A new one is found and tested without being named here."""

import dataclasses
import functools

import pytest
import torch

from halfmask import methods, testing
from halfmask.learning.clock import Clock
from halfmask.learning.minimize import Minimizer
from halfmask.networks import factory
from halfmask.networks.factory import Builder
from halfmask.networks.keys.source import Weights
from halfmask.testing import given
from halfmask.training.transfer import transfer_all

NAMES = sorted(methods.names("pretraining"))


@pytest.mark.parametrize("check", testing.PRETRAINING_CHECKS, ids=lambda c: c.__name__.removeprefix("check_"))
@pytest.mark.parametrize("dims", [2, 3], ids=["2d", "3d"])
@pytest.mark.parametrize("name", NAMES)
def test_conforms(name, check, dims):
    torch.manual_seed(0)
    check(methods.find(name), dims)


@pytest.mark.parametrize("name", NAMES)
def test_conforms_in_half_precision(name):
    torch.manual_seed(0)
    with torch.autocast("cpu", torch.bfloat16):
        testing.check_losses_pull_and_state_moves(methods.find(name), 2)


SMALL = {
    "resnet_unet": {"width": 4, "blocks": (1, 1, 1, 1)},
    "swin_unet": {"embed": 12},
    "swin_unetr": {"feature_size": 12, "window": 2},
    "unetr": {"hidden_size": 24, "layers": 4, "heads": 2, "mlp": 24, "feature_size": 4},
    "unet": {"width": 4},
    "residual_unet": {"width": 4},
    "vnet": {"width": 4},
    "resnet18": {"width": 4, "blocks": (1, 1, 1, 1)},
    "resnet50": {"width": 4, "blocks": (1, 1, 1, 1)},
    "vit_ti16": {"hidden_size": 24, "layers": 2, "heads": 2},
    "vit_b16": {"hidden_size": 24, "layers": 2, "heads": 2},
}
DECODES = ["boundary_information", "comparative", "global_local_contrast", "masked_autoencoder", "partition_contrast"]
"""Those that train a decoder too."""


@pytest.mark.parametrize("network", factory.encoder_names())
@pytest.mark.parametrize("name", NAMES)
def test_trains_every_encoder(name, network):
    """Any of the factory, in 2D; a step is finite and moves the encoder."""
    torch.manual_seed(0)
    builder = Builder(network, channels=1, classes=2, dims=2, patch=(64, 64), settings=SMALL[network])
    if name in DECODES and network not in factory.names():
        with pytest.raises(ValueError, match=f"network '{network}' has no decoder: it classifies and pre-trains; to"):
            methods.find(name)(builder)
        return
    method = testing.begun(methods.find(name)(builder))
    before = {key: value.clone() for key, value in method.kept.state_dict().items()}
    batch = testing.some_batch(2, labeled=0, unlabeled=4)
    image = torch.nn.functional.interpolate(batch.unlabeled.image[:, :1], (64, 64))
    batch = type(batch)(batch.labeled, batch.unlabeled.with_(image=image))
    minimize = testing.minimizer(method)
    method.step(batch, minimize, Clock(1, 10))
    minimize.check()
    assert any(not value.equal(before[key]) for key, value in method.kept.encoder.state_dict(prefix="encoder.").items())


@pytest.mark.parametrize("dims", [2, 3], ids=["2d", "3d"])
@pytest.mark.parametrize("network", ["resnet18", "vit_ti16"])
@pytest.mark.parametrize("name", ["dino", "cass", "simclr", "rotation"])
def test_trains_networks_without_a_decoder(name, network, dims, monkeypatch):
    """The checks of all, and what is kept goes over into one that was built anew."""
    monkeypatch.setattr(given, "SIDE", 32)
    peer = {"resnet18": "vit_ti16", "vit_ti16": "resnet18"}[network]
    settings = {"peer_settings": SMALL[peer] | {"dropout": 0.1}} if name == "cass" else {}

    def made(builder):
        own = SMALL[network] | {"dropout": builder.settings["dropout"]}
        change = dict(name=network, settings=own, pooling=None, kernels=None)
        return methods.find(name)(dataclasses.replace(builder, **change), **settings)

    torch.manual_seed(0)
    testing.check_losses_pull_and_state_moves(made, dims)
    testing.check_networks_are_apart(made, dims)
    testing.check_reproducible(made, dims)
    testing.check_judges(made, dims)
    if dims == 2:
        with torch.autocast("cpu", torch.bfloat16):
            testing.check_losses_pull_and_state_moves(made, dims)

    trained = testing.arranged(made(testing.small(dims)))
    for kept in trained.keeps:
        there = getattr(trained, kept)
        fresh = torch.nn.Module()
        fresh.student = testing.small(dims).encoder(there.name, **SMALL[there.name])
        weights = Weights("what was kept", factory.kind_of(there), there.state_dict())
        assert "100.0% of the parameters, went over" in transfer_all([weights], fresh, where="run")["student"]
        image = testing.some_batch(dims).image
        assert torch.equal(fresh.eval().student.embed(image), there.eval().embed(image))


@pytest.mark.parametrize("name", NAMES)
def test_loss_falls(name):
    """A whole short training on the same images lowers what it minimizes."""
    torch.manual_seed(0)
    method = testing.begun(methods.find(name)(testing.small(2)))
    minimize = Minimizer(method, method.optimizers(functools.partial(torch.optim.Adam, lr=0.003)))
    batch, sums = testing.some_batch(2, labeled=0, unlabeled=6), []
    for step in range(60):
        torch.manual_seed(step % 3)
        method.step(batch, minimize, Clock(min(step, 20), 60))
        sums.append(sum(minimize.losses.values()).item())
    minimize.check()
    assert sum(sums[-6:]) < sum(sums[:6])


@pytest.mark.parametrize("name", NAMES)
def test_says_where_it_comes_from(name):
    testing.check_says_where_it_comes_from(methods.find(name))
