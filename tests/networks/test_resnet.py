import pytest
import torch
from torch import nn

from halfmask.networks.factory import make, make_encoder


@pytest.mark.parametrize("patch", [(64, 96), (32, 64, 32)], ids=["2d", "3d"])
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_features_and_embedding_are_monais(name, patch):
    """Its bottleneck strides where torchvision's does. Names are the same, all but the classifier's."""
    from monai.networks.nets.resnet import ResNet

    torch.manual_seed(0)
    dims, deep = len(patch), name == "resnet50"
    block, blocks = ("bottleneck", [3, 4, 6, 3]) if deep else ("basic", [2, 2, 2, 2])
    theirs = ResNet(block, blocks, [8, 16, 32, 64], dims, n_input_channels=2, conv1_t_stride=2, shortcut_type="B",
                    bias_downsample=False, feed_forward=False)  # fmt: skip
    net = make_encoder(name, channels=2, dims=dims, patch=patch, width=8)
    net.encoder.load_state_dict(theirs.state_dict())

    x = torch.randn(2, 2, *patch)
    expected = [theirs.act(theirs.bn1(theirs.conv1(x)))]
    y = theirs.maxpool(expected[0])
    for layer in (theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4):
        y = layer(y)
        expected.append(y)
    for ours, other, width in zip(net.encode(x), expected, net.widths, strict=True):
        assert torch.equal(ours, other)
        assert ours.shape[1] == width
    torch.testing.assert_close(net.embed(x), theirs(x))


def test_names_are_torchvisions():
    with torch.device("meta"):
        names = set(make_encoder("resnet50", channels=3, dims=2, patch=(64, 64)).encoder.state_dict())
    some = "conv1.weight bn1.bias layer1.0.conv3.weight layer1.0.downsample.0.weight layer2.0.downsample.1.running_var"
    assert {*some.split(), "layer3.5.bn3.num_batches_tracked", "layer4.2.conv3.weight"} <= names
    assert len(names) == 318  # torchvision's resnet50 has 320 with fc.weight and fc.bias
    assert not any(name.startswith("layer1.1.downsample") for name in names)


def test_the_middle_convolution_of_a_bottleneck_strides():
    net = make_encoder("resnet50", channels=1, dims=2, patch=(64, 64), width=8)
    strides = [getattr(net.encoder.layer3[0], f"conv{k}").stride for k in (1, 2, 3)]
    assert strides == [(1, 1), (2, 2), (1, 1)]


def test_a_unet_on_resnet_50_is_as_large_as_the_public_code_and_starts_from_one():
    plan = dict(channels=3, dims=2, patch=(64, 64))
    with torch.device("meta"):
        net = make("resnet_unet", **plan, classes=1, bottleneck=True)
        assert sum(p.numel() for p in net.parameters()) == 32_521_105  # as segmentation_models_pytorch has it
    small = dict(width=4, blocks=(1, 1, 1, 1))
    net = make("resnet_unet", **plan, classes=2, bottleneck="true", **small)
    net.encoder.load_state_dict(make_encoder("resnet50", **plan, **small).encoder.state_dict())
    assert net(torch.randn(2, 3, 64, 64)).shape == (2, 2, 64, 64)


def test_each_norm_can_be_had_and_dropout_acts_at_the_last_level():
    torch.manual_seed(0)
    net = make_encoder("resnet50", channels=1, dims=2, patch=(64, 64), width=8, norm="instance", dropout=0.5)
    assert {type(m) for m in net.modules() if "Norm" in type(m).__name__} == {nn.InstanceNorm2d}
    off = [bool((each == 0).flatten(2).all(2).any()) for each in net.encode(torch.randn(2, 1, 64, 64))]
    assert off == [False] * 4 + [True]
