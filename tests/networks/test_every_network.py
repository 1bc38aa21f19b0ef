"""What holds for every network by its name, and that methods can train it."""

import copy
import dataclasses
import subprocess
import sys

import pytest
import torch
from torch import nn

from halfmask import methods, testing
from halfmask.networks.blocks import ResidualBlock
from halfmask.networks.factory import Builder, encoder_names, make, make_encoder, names
from halfmask.testing import given

SMALL = {
    "unet": dict(width=4),
    "residual_unet": dict(width=4),
    "vnet": dict(width=4),
    "resnet_unet": dict(width=8, blocks=(2, 1, 1, 1)),
    "swin_unet": dict(embed=8, token=2, window=3, depths=(1, 2, 1), heads=(1, 2, 4)),
    "swin_unetr": dict(feature_size=8, window=3, depths=(2, 1), heads=(2, 4)),
    "unetr": dict(feature_size=4, hidden_size=16, layers=5, heads=2, mlp=32),
}
ENCODERS = {
    "resnet18": dict(width=4, blocks=(2, 1, 1, 1)),
    "resnet50": dict(width=4, blocks=(2, 1, 1, 1)),
    "vit_ti16": dict(hidden_size=16, layers=2, heads=2, mlp=24),
    "vit_b16": dict(hidden_size=16, layers=2, heads=2, mlp=24, token=8),
}
"""Those without a decoder."""
PLANS = [dict(dims=2, patch=(32, 64)), dict(dims=3, patch=(32, 32, 64))]
ANISOTROPIC = dict(dims=3, patch=(4, 16, 8), pooling=((1, 1, 1), (1, 2, 2), (2, 2, 2)))
EVERY = [pytest.param(name, plan, id=f"{name}-{plan['dims']}d") for name in names() for plan in PLANS]
EVERY += [pytest.param(name, ANISOTROPIC, id=f"{name}-anisotropic") for name in ("unet", "residual_unet", "vnet")]


def network(name, *, channels=2, classes=3, **plan):
    return make(name, channels=channels, classes=classes, **SMALL[name], **plan)


def switched_on(module):
    """Residual blocks with their convolutions at work: as built, they are their shortcuts."""
    for block in module.modules():
        if isinstance(block, ResidualBlock):
            nn.init.ones_(block.conv2.norm.weight)
    return module


def images(plan, count=2):
    return torch.randn(count, 2, *plan["patch"])


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize(("name", "plan"), EVERY)
def test_levels_have_the_widths_and_strides_they_say(name, plan):
    net, x = network(name, **plan), images(plan)
    features = net.encode(x)
    maps = net.decode(features)

    assert len(net.widths) == len(net.map_widths) == len(net.strides) == len(features) == len(maps) > 1
    shape_at = lambda level: [n // s for n, s in zip(plan["patch"], net.strides[level], strict=True)]
    for level, (feature, map_) in enumerate(zip(features, maps, strict=True)):
        assert feature.shape == (2, net.widths[level], *shape_at(level))
        assert map_.shape == (2, net.map_widths[level], *shape_at(level))
    assert maps[-1] is features[-1]

    opened = features[-1]
    for level, skip in zip(list(net.decoder.levels)[::-1], features[-2::-1], strict=True):
        opened = level(opened, skip)
    logits = net(x)
    assert logits.shape == (2, 3, *plan["patch"])
    assert torch.equal(net.head(maps[0]), logits)
    assert torch.equal(net.head(opened), logits)


@pytest.mark.parametrize(("name", "plan"), EVERY)
def test_every_weight_is_used(name, plan):
    net = switched_on(network(name, **plan))
    (net(images(plan)) * torch.randn(())).square().sum().backward()
    assert [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("name", names())
def test_a_copy_and_a_checkpoint_are_the_network(name):
    net, x = network(name, **PLANS[0]), images(PLANS[0])
    twin = network(name, **PLANS[0])
    twin.load_state_dict(net.state_dict())
    duplicate = copy.deepcopy(net)
    for each in (net, twin, duplicate):
        each.eval()
    assert torch.equal(twin(x), net(x))
    with torch.no_grad():
        next(duplicate.parameters()).add_(1.0)
    assert torch.equal(twin(x), net(x))
    assert not torch.equal(duplicate(x), net(x))
    constants = [n for n, v in net.state_dict().items() if not v.is_floating_point()]
    assert all(n.endswith("num_batches_tracked") for n in constants), "constants are no state"


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", names())
def test_learns(name, precision):
    net, x = network(name, **PLANS[0]), images(PLANS[0])
    target = (x[:, 0] > 0).long() + (x[:, 1] > 1)
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    losses = []
    for _ in range(6):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            logits = net(x)
        losses.append(nn.functional.cross_entropy(logits.float(), target))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < losses[0]
    assert all(p.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("name", names())
def test_random_only_where_dropout_asks_for_it(name):
    """Neither the check of a plan nor a network without dropout draws a number; evaluation never does."""
    before = torch.get_rng_state()
    Builder(name, channels=2, classes=3, **PLANS[0], settings=SMALL[name])
    assert torch.equal(torch.get_rng_state(), before)

    net, x = network(name, **PLANS[0]), images(PLANS[0])
    before = torch.get_rng_state()
    net(x)
    assert torch.equal(torch.get_rng_state(), before)

    dropped = network(name, **PLANS[0], dropout=0.5)
    assert not torch.equal(dropped(x), dropped(x))
    dropped.eval()
    assert torch.equal(dropped(x), dropped(x))


@pytest.mark.parametrize("plan", PLANS, ids=["2d", "3d"])
@pytest.mark.parametrize("name", ENCODERS)
def test_what_only_encodes_has_levels_and_embeds(name, plan):
    net, x = make_encoder(name, channels=2, **plan, **ENCODERS[name]), images(plan)
    before = torch.get_rng_state()
    features = net.encode(x)
    embedding = net.embed(x)
    assert torch.equal(torch.get_rng_state(), before), "drawn without dropout"
    assert embedding.shape == (2, net.widths[-1])
    assert len(net.widths) == len(net.strides) == len(features)
    for feature, width, stride in zip(features, net.widths, net.strides, strict=True):
        assert feature.shape == (2, width, *(n // s for n, s in zip(plan["patch"], stride, strict=True)))
    (embedding * torch.randn_like(embedding)).sum().backward()
    assert [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []
    assert all(n.startswith("encoder.") for n in net.state_dict())

    twin, duplicate = make_encoder(name, channels=2, **plan, **ENCODERS[name]), copy.deepcopy(net)
    twin.load_state_dict(net.state_dict())
    assert torch.equal(twin.eval().embed(x), net.eval().embed(x))
    assert torch.equal(duplicate.eval().embed(x), net.embed(x))
    dropped = make_encoder(name, channels=2, **plan, **ENCODERS[name] | dict(dropout=0.5))
    assert not torch.equal(dropped.embed(x), dropped.embed(x))
    assert torch.equal(dropped.eval().embed(x), dropped.embed(x))


def test_encoders_are_all_here():
    assert {*ENCODERS, *names()} == set(encoder_names())


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("resnet18", 11_176_512),  # torchvision's 11,689,512 less its classifier
        ("resnet50", 23_508_032),
        ("vit_ti16", 5_524_416),  # DeiT-Ti's 5,717,416 less its classifier
        ("vit_b16", 85_798_656),
    ],
)
def test_number_of_parameters_of_encoders_is_that_of_the_public_code(name, parameters):
    with torch.device("meta"):
        net = make_encoder(name, channels=3, dims=2, patch=(224, 224))
    assert sum(p.numel() for p in net.parameters()) == parameters


def test_a_vit_compiles_without_a_break():
    net, x = make_encoder("vit_b16", channels=2, **PLANS[0], **ENCODERS["vit_b16"]), images(PLANS[0])
    whole = torch.compile(net.encoder, backend="eager", fullgraph=True)
    for image in (x, x[..., :32]):  # and as DINO's local crops
        torch.testing.assert_close(whole(image), net.tokens(image))


@pytest.mark.parametrize("name", ["residual_unet", "swin_unetr"])
def test_compiles_without_a_break(name):
    net, x = network(name, **PLANS[0]), images(PLANS[0])
    whole = torch.compile(net, backend="eager", fullgraph=True)
    torch.testing.assert_close(whole(x), net(x))


@pytest.mark.parametrize(
    ("name", "dims", "side", "channels", "classes", "parameters"),
    [
        ("resnet_unet", 2, 224, 3, 1, 24_436_369),  # as segmentation_models_pytorch 0.6 has it
        ("swin_unet", 2, 224, 3, 9, 27_168_900),  # its authors' code: 27.17 M
        ("swin_unetr", 3, 96, 1, 2, 62_186_708),  # as MONAI 1.6 has it; the paper says 61.98 M
        ("unetr", 3, 96, 1, 2, 92_783_842),  # MONAI's less 12 · 1536 that it leaves unused; the paper says 92.58 M
    ],
)
def test_number_of_parameters_is_that_of_the_public_code(name, dims, side, channels, classes, parameters):
    with torch.device("meta"):
        net = make(name, channels=channels, classes=classes, dims=dims, patch=(side,) * dims)
        assert sum(p.numel() for p in net.parameters()) == parameters
        assert net(torch.zeros(1, channels, *(side,) * dims)).shape == (1, classes, *(side,) * dims)


@pytest.mark.parametrize("name", ["resnet_unet", "swin_unet", "swin_unetr", "unetr"])
@pytest.mark.parametrize(
    ("change", "error"),
    [
        (dict(patch=(48, 65)), "so each side must be a multiple of .*: pad or crop to"),
        (dict(patch=(64, 64, 64)), "a network of 2 dims needs a patch of 2 sides, not 64×64×64"),
        (dict(dims=4), "a network has 2 or 3 dims, not 4"),
        (dict(dropout="1"), "dropout = '1' should be less than 1"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused_in_words(name, change, error):
    plan = dict(channels=2, classes=3) | PLANS[0] | change
    with pytest.raises(ValueError, match=error):
        make(name, **plan, **{} if "dropout" in change else SMALL[name])


def test_networks_of_other_libraries_are_imported_when_made():
    code = "import sys, halfmask.networks.factory as f; f.names(); assert not {'monai', 'einops'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def trained(name, method):
    """The method with another network than the one it is given, for the checks of `halfmask.testing`."""

    def made(builder):
        passed = {key: builder.settings[key] for key in ("norm", "dropout") if key in builder.settings}
        if name not in ("unet", "residual_unet", "vnet", "resnet_unet"):
            passed.pop("norm")
        change = dict(name=name, settings=SMALL[name] | passed, pooling=None, kernels=None)
        return switched_on(methods.find(method)(dataclasses.replace(builder, **change)))

    return made


@pytest.mark.parametrize("method", ["mean_teacher", "fixmatch", "cross_pseudo_supervision"])
@pytest.mark.parametrize("name", names())
def test_methods_train_it(name, method, monkeypatch):
    monkeypatch.setattr(given, "SIDE", 64 if name == "resnet_unet" else 32)
    testing.check_losses_pull_and_state_moves(trained(name, method), 2)
    testing.check_halves(trained(name, method), 2)
    testing.check_reproducible(trained(name, method), 2)
    with torch.autocast("cpu", torch.bfloat16):
        testing.check_losses_pull_and_state_moves(trained(name, method), 2)


def test_a_method_trains_a_swin_network_in_3d(monkeypatch):
    monkeypatch.setattr(given, "SIDE", 32)
    testing.check_losses_pull_and_state_moves(trained("swin_unetr", "mean_teacher"), 3)
