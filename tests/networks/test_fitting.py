import pytest
import torch
from torch import nn

from halfmask.networks.factory import make
from halfmask.networks.fitting import fitted, of_channels, of_window


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
