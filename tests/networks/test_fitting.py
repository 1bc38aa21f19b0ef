import pytest
import torch
from torch import nn

from halfmask.networks.factory import make
from halfmask.networks.fitting import fitted, of_channels, of_grid, of_token, of_window


@pytest.mark.parametrize("here", [1, 2, 3, 5])
@pytest.mark.parametrize("there", [1, 3, 4])
def test_equal_channels_are_answered_as_before(there, here):
    kernel, x = torch.randn(6, there, 3, 3), torch.randn(2, 1, 8, 8)
    other = of_channels(kernel, here)
    assert other.shape == (6, here, 3, 3)
    conv = lambda weight: nn.functional.conv2d(x.expand(-1, weight.shape[1], -1, -1), weight)
    torch.testing.assert_close(conv(other), conv(kernel))


@pytest.mark.parametrize(
    ("name", "settings", "inputs"),
    [
        ("unet", dict(width=4), ["encoder.levels.0.0.conv.weight"]),
        ("residual_unet", dict(width=4), ["encoder.stem.conv.weight"]),
        ("resnet_unet", dict(width=8), ["encoder.conv1.weight"]),
        ("swin_unet", dict(embed=12), ["encoder.embed.0.proj.weight"]),
        (
            "swin_unetr",
            dict(feature_size=12),
            ["encoder.embed.0.proj.weight", "encoder.skips.0.layer.conv1.conv.weight",
             "encoder.skips.0.layer.conv3.conv.weight"],
        ),
    ],
)  # fmt: skip
def test_just_the_layers_that_see_the_image_are_fitted(name, settings, inputs):
    """And with them all fits: the networks differ in nothing else."""
    plan = dict(classes=2, dims=2, patch=(64, 64))
    source, own = (make(name, channels=c, **plan, **settings) for c in (3, 4))
    other = {n: v for n, v in source.state_dict().items() if v.shape != own.state_dict()[n].shape}
    assert sorted(other) == sorted(inputs)
    for weight_name, weight in other.items():
        weight, told = fitted(weight_name, weight, own)
        assert told == "from 3 channels to 4"
        assert weight.shape == own.state_dict()[weight_name].shape


def test_what_has_no_meaning_is_not_fitted():
    own = make("unet", channels=2, classes=2, dims=2, patch=(16, 16), width=4)
    first = own.encoder.levels[0][0].conv.weight
    assert fitted("encoder.levels.0.0.conv.weight", torch.ones(8, 1, 3, 3), own) is None, "other features"
    assert fitted("encoder.levels.0.0.conv.weight", torch.ones(4, 1, 5, 5), own) is None, "another kernel"
    assert fitted("encoder.levels.1.0.conv.weight", torch.ones(8, 3, 3, 3), own) is None, "no input layer"
    assert fitted("head.weight", torch.ones(2, 8, 1, 1), own) is None
    assert first.shape == (4, 2, 3, 3)


@pytest.mark.parametrize(("old", "new"), [((2, 2), (4, 4)), ((4, 4), (4, 7)), ((2, 2, 2), (3, 2, 4))])
def test_a_kernel_for_larger_tokens_answers_enlarged_images_as_before(old, new):
    torch.manual_seed(0)
    kernel, tokens = torch.randn(5, 2, *old), torch.randn(3, 2, *old)
    mode = {2: "bilinear", 3: "trilinear"}[len(old)]
    enlarged = nn.functional.interpolate(tokens, new, mode=mode)
    answer = lambda weight, x: torch.einsum("fcn,bcn->bf", weight.flatten(2), x.flatten(2))
    torch.testing.assert_close(answer(of_token(kernel, new), enlarged), answer(kernel, tokens), rtol=1e-4, atol=1e-4)
    assert of_token(kernel, old) is kernel


@pytest.mark.parametrize("grid", [(4, 4), (3, 6), (2, 4, 5)], ids=str)
def test_position_embeddings_keep_their_order_in_space(grid):
    side = 4
    axes = torch.stack(torch.meshgrid(*[torch.linspace(-1, 1, side)] * len(grid), indexing="ij"))
    found = of_grid(axes.flatten(1).T[None], grid)[0].T.view(len(grid), *grid)
    for axis, ramp in enumerate(found):
        assert (ramp.movedim(axis, 0).diff(dim=0) > 0).all()
        assert ramp.std(axis).mean() > 5 * ramp.mean(axis).std()
    if grid == (side,) * len(grid):
        torch.testing.assert_close(found, axes)


def test_a_unetr_goes_over_to_another_patch_and_a_swin_unetr_to_other_tokens():
    plan = dict(channels=1, classes=2, dims=2)
    small = dict(hidden_size=24, layers=4, heads=2, mlp=24, feature_size=4)
    source, own = (make("unetr", patch=patch, **plan, **small) for patch in ((64, 64), (96, 48)))
    name = "encoder.embed.position_embeddings"
    assert fitted(name, source.state_dict()[name], own)[1] == "from a grid of 4×4 tokens to 6×3"
    assert fitted(name, own.state_dict()[name], source) is None  # 18 tokens are no square: nobody knows their grid
    tokens = [make("swin_unetr", patch=(128, 128), feature_size=12, token=t, **plan) for t in (2, 4)]
    name = "encoder.embed.0.proj.weight"
    weight, told = fitted(name, tokens[0].state_dict()[name], tokens[1])
    assert weight.shape == tokens[1].state_dict()[name].shape and told == "from tokens of 2×2 to 4×4"


@pytest.mark.parametrize("window", [(3, 3), (7, 7), (8, 8), (4, 7), (3, 7, 5)], ids=str)
def test_biases_of_a_window_keep_their_ends_and_their_center(window):
    dims, side = len(window), 13  # a window of 7
    table = torch.randn(side**dims, 3)
    other = of_window(table, window)
    shape = [2 * w - 1 for w in window]
    there, here = table.T.reshape(3, *(side,) * dims), other.T.reshape(3, *shape)
    for at in (0, 0.5, 1):
        pick = lambda image, at=at: image[(slice(None), *(round((n - 1) * at) for n in image.shape[1:]))]
        torch.testing.assert_close(pick(here), pick(there))
    torch.testing.assert_close(of_window(torch.full_like(table, 2.0), window), torch.full_like(other, 2.0))
    if set(window) == {7}:
        torch.testing.assert_close(other, table)


def test_a_networks_tables_are_fitted_to_its_windows():
    plan = dict(channels=1, classes=2, dims=2, patch=(64, 96), embed=12)
    source, own = make("swin_unet", **plan, window=7), make("swin_unet", **plan, window=4)
    name = "encoder.stages.0.blocks.1.attn.relative_position_bias_table"
    table, told = fitted(name, source.state_dict()[name], own)
    assert told == "from a window of 7 to 4×4"
    assert table.shape == own.state_dict()[name].shape == (49, 3)
