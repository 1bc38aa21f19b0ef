"""The ViT against the same arithmetic written anew, slowly, on weights as timm, DeiT, DINO and MAE name them."""

import pytest
import torch
from torch import nn

from halfmask.networks.factory import make_encoder
from halfmask.networks.fitting import of_grid
from halfmask.networks.keys import weights_in
from halfmask.training.transfer import transfer

SMALL = dict(hidden_size=24, layers=3, heads=4, mlp=40)


def made(patch, channels=2, **change):
    return make_encoder("vit_b16", channels=channels, dims=len(patch), patch=patch, **{**SMALL, **change})


def timms(patch, channels=2, *, token=16):
    """A state of random numbers; its positions are of the patch's grid."""
    torch.manual_seed(0)
    width, mlp = SMALL["hidden_size"], SMALL["mlp"]
    count = 1
    for side in patch:
        count *= side // token
    shapes = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, 1 + count, width),
        "patch_embed.proj.weight": (width, channels, *(token,) * len(patch)),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
    }
    for i in range(SMALL["layers"]):
        layers = {"norm1": (width,), "norm2": (width,), "attn.qkv": (3 * width, width), "attn.proj": (width, width)}
        for name, shape in {**layers, "mlp.fc1": (mlp, width), "mlp.fc2": (width, mlp)}.items():
            shapes |= {f"blocks.{i}.{name}.weight": shape, f"blocks.{i}.{name}.bias": shape[:1]}
    return {name: 0.3 * torch.randn(shape) for name, shape in shapes.items()}


def slow(state, x, *, token=16):
    """States of all tokens, normalized, and each block's attention; one image, token and head at a time."""

    def norm(t, name):
        centered = t - t.mean(-1, keepdim=True)
        scaled = centered / (centered.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]

    def linear(t, name):
        return t @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    kernel, heads = state["patch_embed.proj.weight"].flatten(1), SMALL["heads"]
    depth = SMALL["hidden_size"] // heads
    all_tokens, all_attentions = [], []
    for image in x:
        places = torch.cartesian_prod(*[torch.arange(0, side, token) for side in image.shape[1:]])
        cut = [image[(slice(None), *(slice(int(n), int(n) + token) for n in place))].flatten() for place in places]
        tokens = torch.stack([kernel @ each + state["patch_embed.proj.bias"] for each in cut])
        tokens = torch.cat([state["cls_token"][0], tokens]) + state["pos_embed"][0]
        attentions = []
        for i in range(SMALL["layers"]):
            q, k, v = linear(norm(tokens, f"blocks.{i}.norm1"), f"blocks.{i}.attn.qkv").chunk(3, 1)
            mixed, weights = [], []
            for h in range(heads):
                part = slice(h * depth, (h + 1) * depth)
                scores = torch.stack([k[:, part] @ query for query in q[:, part]]) / depth**0.5
                weight = scores.exp() / scores.exp().sum(1, keepdim=True)
                weights.append(weight)
                mixed.append(weight @ v[:, part])
            attentions.append(torch.stack(weights))
            tokens = tokens + linear(torch.cat(mixed, 1), f"blocks.{i}.attn.proj")
            hidden = linear(norm(tokens, f"blocks.{i}.norm2"), f"blocks.{i}.mlp.fc1")
            gelu = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
            tokens = tokens + linear(gelu, f"blocks.{i}.mlp.fc2")
        all_tokens.append(norm(tokens, "norm"))
        all_attentions.append(attentions)
    return torch.stack(all_tokens), [torch.stack(each) for each in zip(*all_attentions, strict=True)]


def given(state, net):
    weights = weights_in(state, where="file.pth")
    return transfer(weights.state, net, origin=weights.origin, unused=weights.unused)


@pytest.mark.parametrize("patch", [(32, 64), (32, 16, 48)], ids=["2d", "3d"])
def test_its_tokens_and_attentions_are_those_of_slow_code(patch):
    state, net = timms(patch), made(patch)
    told = given(state, net)
    assert (told.share, told.unused, told.missing, told.adapted) == (1, [], [], {})
    x = torch.randn(2, 2, *patch)
    tokens, attentions = slow(state, x)
    torch.testing.assert_close(net.embed(x), tokens[:, 0], rtol=1e-4, atol=1e-4)
    (features,) = net.encode(x)
    assert features.shape == (2, 24, *(side // 16 for side in patch))
    torch.testing.assert_close(features.flatten(2), tokens[:, 1:].transpose(1, 2), rtol=1e-4, atol=1e-4)
    for found, expected in zip(net.attentions(x), attentions, strict=True):
        assert found.shape == (2, 4, tokens.shape[1], tokens.shape[1])
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("wrap", ["{}", "module.backbone.{}"], ids=["deit", "dino"])
def test_wrappers_and_heads_around_it(wrap):
    state, net = timms((32, 32), 3), made((32, 32), 3)
    heads = {"head.weight": torch.ones(5, 24), "mask_token": torch.ones(1, 1, 24)}
    place = "model" if wrap == "{}" else "teacher"
    told = given({place: {wrap.format(name): value for name, value in (state | heads).items()}}, net)
    assert (told.share, told.unused) == (1, list(heads))
    assert torch.equal(net.encoder.blocks[2].attn.qkv.weight, state["blocks.2.attn.qkv.weight"])


def test_it_goes_over_to_another_patch_and_other_channels():
    """Positions are interpolated, and equal channels embedded as before."""
    state, net = timms((64, 64), 3), made((32, 96), 1)
    told = given(state, net)
    assert told.adapted == {
        "encoder.embed.weight": "from 3 channels to 1",
        "encoder.position_embeddings": "from a grid of 4×4 tokens to 2×6",
    }
    assert told.share == 1
    x = torch.randn(1, 1, 32, 96)
    positions = torch.cat([state["pos_embed"][:, :1], of_grid(state["pos_embed"][:, 1:], (2, 6))], 1)
    tokens, _ = slow(state | {"pos_embed": positions}, x.expand(-1, 3, -1, -1))
    torch.testing.assert_close(net.embed(x), tokens[:, 0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("patch", "other"), [((32, 64), (48, 16)), ((16, 32, 32), (32, 16, 32))], ids=["2d", "3d"])
def test_images_of_other_shapes_have_interpolated_positions(patch, other):
    state, net = timms(patch), made(patch)
    given(state, net)
    grid = lambda shape: tuple(side // 16 for side in shape)
    mode = {2: "bicubic", 3: "trilinear"}[len(patch)]
    image = state["pos_embed"][:, 1:].transpose(1, 2).unflatten(2, grid(patch))
    moved = nn.functional.interpolate(image, grid(other), mode=mode, align_corners=False).flatten(2).transpose(1, 2)
    x = torch.randn(1, 2, *other)
    tokens, _ = slow(state | {"pos_embed": torch.cat([state["pos_embed"][:, :1], moved], 1)}, x)
    torch.testing.assert_close(net.embed(x), tokens[:, 0], rtol=1e-4, atol=1e-4)
    assert net.encode(x)[0].shape == (1, 24, *grid(other))


def test_heads_and_perceptrons_are_the_papers_unless_given():
    with torch.device("meta"):
        tiny = make_encoder("vit_ti16", channels=3, dims=2, patch=(224, 224))
        small = make_encoder("vit_b16", channels=3, dims=2, patch=(224, 224), hidden_size=384)
    for net, heads, width in [(tiny, 3, 192), (small, 6, 384)]:
        assert {block.attn.heads for block in net.encoder.blocks} == {heads}
        assert {block.mlp.fc1.out_features for block in net.encoder.blocks} == {4 * width}
        assert len(net.encoder.blocks) == 12


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (dict(patch=(40, 32)), "divides 40×32 by 16×16, so each side must be a multiple of 16: pad or crop to 48×32"),
        (dict(hidden_size=25), "hidden_size = 25 cannot be shared equally by heads = 4: .* of 4, e.g. 28"),
        (dict(layers="0"), "layers = '0' should be greater than or equal to 1"),
        (dict(patch=(32, 32, 32), dims=2), "a network of 2 dims needs a patch of 2 sides, not 32×32×32"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused(change, error):
    with pytest.raises(ValueError, match=error):
        make_encoder("vit_b16", **dict(channels=1, dims=2, patch=(32, 32)) | SMALL | change)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("blocks.0.ls1.gamma", "layer scale"),
        ("blocks.0.gamma_1", "layer scale"),
        ("reg_token", "register tokens"),
        ("dist_token", "a distillation token"),
    ],
)
def test_a_vit_that_does_more_is_refused(name, part):
    """Its weights would fit, and the numbers be others."""
    with pytest.raises(ValueError, match=rf"f holds the weights of a ViT with {part}, which no network here has; take"):
        weights_in(timms((32, 32)) | {name: torch.ones(24)}, where="f")


def test_weights_of_another_width_say_the_setting():
    with pytest.raises(ValueError, match=r"only 0 of .*; give --set network\.hidden_size=24$"):
        given(timms((32, 32)), made((32, 32), hidden_size=32))
