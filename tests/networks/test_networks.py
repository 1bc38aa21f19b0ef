"""The convolutional U-Nets and V-Net, and each against another implementation of it."""

from math import prod

import pytest
import torch
from torch import nn

from halfmask.networks.factory import make

NAMES = ["unet", "residual_unet", "vnet"]


def network(name, *, channels=2, classes=3, width=4, **plan):
    return make(name, channels=channels, classes=classes, width=width, **plan)


def count(net):
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize("name", NAMES)
def test_each_norm_can_be_had(name, norm):
    net = network(name, dims=2, patch=(16, 16), norm=norm)
    kinds = {type(m) for m in net.modules() if isinstance(m, nn.InstanceNorm2d | nn.BatchNorm2d)}
    assert kinds == {{"instance": nn.InstanceNorm2d, "batch": nn.BatchNorm2d}[norm]}


@pytest.mark.parametrize("name", NAMES)
def test_dropout_acts_in_training_alone_and_at_two_places(name):
    net = network(name, dims=2, patch=(16, 16), dropout=0.5, norm="instance", width=32)
    x = torch.randn(2, 2, 16, 16)
    assert not torch.equal(net(x), net(x))
    features = net.encode(x)
    off = [[(map_ == 0).flatten(2).all(2).any() for map_ in maps] for maps in (features, net.decode(features))]
    assert off == [[False, False, True], [True, False, True]]  # the bottleneck is the same in both
    net.eval()
    assert torch.equal(net(x), net(x))


def test_without_dropout_no_random_number_is_drawn():
    net, before = network("unet", dims=2, patch=(16, 16)), torch.get_rng_state()
    net(torch.zeros(1, 2, 16, 16))
    assert torch.equal(torch.get_rng_state(), before)


def test_widths_double_up_to_a_cap():
    shallow = dict(channels=1, classes=2, width=32)
    with torch.device("meta"):
        assert network("unet", dims=2, patch=(256, 256), **shallow).widths == (
            32,
            64,
            128,
            256,
            512,
            512,
            512,
        )
        assert network("unet", dims=3, patch=(128,) * 3, **shallow).widths == (32, 64, 128, 256, 320, 320)
        assert network("unet", dims=2, patch=(32, 32), max_width=48, **shallow).widths == (32, 48, 48, 48)


@pytest.mark.parametrize(
    ("name", "dims", "patch", "parameters"),
    [
        # As counted in dynamic_network_architectures 0.4.4, less the heads of its deep supervision.
        ("unet", 3, (64, 64, 64), 31_194_083),
        ("unet", 2, (256, 256), 33_468_899),
        ("residual_unet", 3, (64, 64, 64), 102_348_259),
        # UA-MT's V-Net with a third class (9,448,866 with two: the 9.44 M of papers on the left atrium).
        ("vnet", 3, (112, 112, 80), 9_448_883),
    ],
)
def test_number_of_parameters_is_that_of_the_public_code(name, dims, patch, parameters):
    depth = {"unet": 6 if dims == 3 else 7, "residual_unet": 6, "vnet": 5}[name]
    pooling = ((1,) * dims, *((2,) * dims,) * (depth - 1))
    with torch.device("meta"):
        assert count(make(name, channels=1, classes=3, dims=dims, patch=patch, pooling=pooling)) == parameters


@pytest.mark.parametrize(
    ("pooling", "kernels"),
    [
        (((1, 1), (2, 2), (2, 2)), ((3, 3),) * 3),
        # One kernel for all: MONAI's decoder takes that of the level below, nnU-Net and we the level's own.
        (((1, 1, 1), (1, 2, 2), (2, 2, 2), (2, 2, 2)), ((1, 3, 3),) * 4),
    ],
    ids=["2d", "anisotropic"],
)
def test_unet_is_monais_dynunet(pooling, kernels):
    from monai.networks.nets import DynUNet

    dims, affine = len(pooling[0]), ("instance", {"affine": True})
    plan = dict(dims=dims, patch=(16,) * dims, pooling=pooling, kernels=kernels)
    ours = make("unet", channels=2, classes=3, width=4, **plan)
    theirs = DynUNet(dims, 2, 3, kernels, pooling, pooling[1:], filters=ours.widths, norm_name=affine)

    def pairs(block, convs):
        for i, conv in enumerate(convs, start=1):
            yield getattr(block, f"conv{i}").conv.weight, conv.conv.weight
            for p in ("weight", "bias"):
                yield getattr(getattr(block, f"norm{i}"), p), getattr(conv.norm, p)

    tied = [(theirs.output_block.conv.conv.weight, ours.head.weight)]
    tied += [(theirs.output_block.conv.conv.bias, ours.head.bias)]
    for block, level in zip(
        [theirs.input_block, *theirs.downsamples, theirs.bottleneck], ours.encoder.levels, strict=True
    ):
        tied += pairs(block, level)
    for block, level in zip(list(theirs.upsamples)[::-1], ours.decoder.levels, strict=True):
        tied += [(block.transp_conv.conv.weight, level.up.weight), *pairs(block.conv_block, level.convs)]
    with torch.no_grad():
        for other, own in tied:
            own.copy_(nn.init.normal_(other, std=0.3))

    x = torch.randn(2, 2, *(16,) * dims)
    torch.testing.assert_close(ours(x), theirs(x))
    # nnU-Net's convolutions, and so ours, have biases; MONAI's have none outside the head.
    biases = [p for n, p in ours.named_parameters() if n.endswith(("conv.bias", "up.bias"))]
    assert count(ours) == count(theirs) + sum(map(torch.numel, biases))
    assert not any(bias.any() for bias in biases)


def test_residual_block_is_its_shortcut_when_new():
    plan = dict(dims=2, patch=(16, 16), blocks=(1, 2))
    block = network("residual_unet", **plan).encoder.levels[1][1]
    x = torch.rand(1, 8, 8, 8)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize("name", NAMES)
def test_images_that_do_not_fit_are_told_what_would(name):
    net = network(name, dims=3, patch=(40, 56, 40), norm="instance")
    assert net.strides[-1] == (8, 8, 8)
    with pytest.raises(
        ValueError, match="40×56×38 by 8×8×8, so each side must be a multiple of 8: pad or crop to 40×56×40"
    ):
        net(torch.zeros(1, 2, 40, 56, 38))
    with pytest.raises(ValueError, match=r"images of shape \(B, 2, D, H, W\), not \(1, 3, 16, 16, 16\)"):
        net(torch.zeros(1, 3, 16, 16, 16))
    with pytest.raises(ValueError, match=r"images of shape \(B, 2, D, H, W\), not \(1, 2, 16, 16\)"):
        net.encode(torch.zeros(1, 2, 16, 16))
    with pytest.raises(ValueError, match="leaves one voxel at the bottleneck and instance norm nothing"):
        net.eval()(torch.zeros(1, 2, 8, 8, 8))
    anisotropic = network(name, dims=3, patch=(4, 16, 8), pooling=((1, 1, 1), (1, 2, 2), (2, 2, 2)))
    with pytest.raises(ValueError, match="a multiple of 2×4×4: pad or crop to 6×16×8"):
        anisotropic(torch.zeros(1, 2, 5, 13, 8))


def test_batch_norm_minds_one_voxel_only_in_training():
    net = network("vnet", dims=2, patch=(16, 16))
    one = torch.zeros(1, 2, *net.strides[-1])
    assert prod(one.shape[2:]) == prod(net.strides[-1])
    with pytest.raises(ValueError, match="batch norm nothing to average"):
        net(one)
    net(one.expand(2, -1, -1, -1))
    net.eval()(one)
