import pytest
import torch
from torch import nn

from halfmask.networks.factory import make


@pytest.mark.parametrize("patch", [(64, 96), (32, 32, 64)], ids=["2d", "3d"])
def test_encoder_is_monais_resnet34(patch):
    """MONAI's names are torchvision's, so that its weights load as they are, all but the classifier's."""
    from monai.networks.nets.resnet import ResNet

    torch.manual_seed(0)
    dims = len(patch)
    theirs = ResNet("basic", [3, 4, 6, 3], [8, 16, 32, 64], dims, n_input_channels=2, conv1_t_stride=2,
                    bias_downsample=False)  # fmt: skip
    net = make("resnet_unet", channels=2, classes=3, dims=dims, patch=patch, width=8)
    net.encoder.load_state_dict({n: v for n, v in theirs.state_dict().items() if not n.startswith("fc")})

    x = torch.randn(2, 2, *patch)
    expected = [theirs.act(theirs.bn1(theirs.conv1(x)))]
    y = theirs.maxpool(expected[0])
    for layer in (theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4):
        y = layer(y)
        expected.append(y)
    for ours, other in zip(net.encode(x), expected, strict=True):
        assert torch.equal(ours, other)


def test_names_are_torchvisions():
    with torch.device("meta"):
        names = set(make("resnet_unet", channels=3, classes=2, dims=2, patch=(64, 64)).encoder.state_dict())
    some = "conv1.weight bn1.running_var layer1.0.conv1.weight layer2.0.downsample.0.weight layer2.0.downsample.1.bias"
    assert {*some.split(), "layer3.5.bn2.num_batches_tracked", "layer4.2.conv2.weight"} <= names
    assert len(names) == 216  # torchvision's resnet34 has 218 with fc.weight and fc.bias
    assert not any(name.startswith("layer1.0.downsample") for name in names)


def test_decoder_enlarges_joins_and_convolves():
    net = make("resnet_unet", channels=1, classes=2, dims=2, patch=(64, 64), width=8).eval()
    below, skip = torch.randn(2, 16, 4, 4), torch.randn(2, 8, 8, 8)
    enlarged = below.repeat_interleave(2, 2).repeat_interleave(2, 3)
    level = net.decoder.levels[1]
    y = torch.cat([enlarged, skip], 1)
    for block in level.convs:
        y = nn.functional.relu(block.norm(nn.functional.conv2d(y, block.conv.weight, padding=1)))
    torch.testing.assert_close(level(below, skip), y)


def test_each_norm_can_be_had_and_dropout_acts_at_two_places():
    plan = dict(channels=1, classes=2, dims=2, patch=(64, 64), width=32, blocks="2,2,2,2")
    net = make("resnet_unet", **plan, norm="instance", dropout=0.5)
    kinds = {type(m) for m in net.modules() if isinstance(m, nn.InstanceNorm2d | nn.BatchNorm2d)}
    assert kinds == {nn.InstanceNorm2d}
    features = net.encode(torch.randn(2, 1, 64, 64))
    off = [[bool((map_ == 0).flatten(2).all(2).any()) for map_ in maps] for maps in (features, net.decode(features))]
    assert off == [[False] * 4 + [True], [True, False, False, False, True]]


def test_batch_norm_minds_one_voxel_only_in_training():
    net = make("resnet_unet", channels=1, classes=2, dims=2, patch=(32, 32), width=8)
    one = torch.zeros(1, 1, 32, 32)
    with pytest.raises(ValueError, match="batch norm nothing to average"):
        net(one)
    assert net.eval()(one).shape == (1, 2, 32, 32)


def test_what_does_not_fit_is_refused():
    plan = dict(channels=1, classes=2, dims=2)
    with pytest.raises(ValueError, match="width = 10 is halved twice towards the head: take a multiple of 4"):
        make("resnet_unet", **plan, patch=(64, 64), width=10)
    with pytest.raises(ValueError, match=r"divides 48×64 by 32×32, .* pad or crop to 64×64"):
        make("resnet_unet", **plan, patch=(48, 64))
    with pytest.raises(ValueError, match="blocks = '2,2'"):
        make("resnet_unet", **plan, patch=(64, 64), blocks="2,2")
