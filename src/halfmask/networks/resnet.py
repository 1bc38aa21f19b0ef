"""ResNets: what encodes in a U-Net, and by itself."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from halfmask.config import Count
from halfmask.networks.backbone import Backbone
from halfmask.networks.blocks import CONV, MAXIMUM, NORM, Dropout, Norm, feature_dropout
from halfmask.networks.levels import Shape, check_sides, halving

Blocks = tuple[Count, Count, Count, Count]


class ResNet(Backbone):
    """ResNet in 2D and, which is ours, in 3D, without its classifier.

    He et al., CVPR 2016, arXiv:1512.03385. Levels of strides 2, 4, 8, 16 and 32. The encoder's names are torchvision's,
    so that its ImageNet weights load into ``encoder`` by name, all but ``fc``; with equal weights so are the numbers.

    Args:
        width: features of the encoder's first level, doubled at each of its last three.
        blocks: of its last four levels; "3,4,6,3" is ResNet-34, or ResNet-50 of bottlenecks.
        bottleneck: blocks of three convolutions that end with four times the features, instead of two.
        dropout: of whole maps, at the last level.
    """

    def __init__(
        self,
        channels: int,
        dims: int,
        patch: Sequence[int],
        *,
        width: Count = 64,
        blocks: Blocks = (2, 2, 2, 2),
        bottleneck: bool = False,
        norm: Norm = "batch",
        dropout: Dropout = 0.0,
    ):
        check_sides(dims, patch)
        widths, steps = resnet_widths(width, bottleneck), halving(dims, 4, first=2)
        super().__init__(channels, dims, patch, widths=widths, pooling=steps, norm=norm)
        self.bottleneck = bottleneck
        self.encoder = ResNetEncoder(channels, dims, width, blocks, bottleneck, norm, dropout)
        self.apply(he_normal_fan_out)


def resnet_widths(width: int, bottleneck: bool) -> Shape:
    """Features of each level."""
    expansion = 4 if bottleneck else 1
    return (width, *(expansion * width * 2**k for k in range(4)))


class ResNetEncoder(nn.Module):
    """ResNet without its classifier, under torchvision's names: features of strides 2 to 32."""

    def __init__(
        self, channels: int, dims: int, width: int, blocks: Blocks, bottleneck: bool, norm: Norm, dropout: float
    ):
        super().__init__()
        self.conv1 = CONV[dims](channels, width, 7, 2, 3, bias=False)
        self.bn1 = NORM[norm, dims](width, affine=True)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = MAXIMUM[dims](3, 2, 1)
        widths, block = resnet_widths(width, bottleneck), Bottleneck if bottleneck else BasicBlock

        def layer(k: int) -> nn.Module:
            first = block(dims, widths[k], widths[k + 1], 2 if k else 1, norm)
            rest = (block(dims, widths[k + 1], widths[k + 1], 1, norm) for _ in range(blocks[k] - 1))
            return nn.Sequential(first, *rest)

        self.layer1, self.layer2, self.layer3, self.layer4 = map(layer, range(4))
        self.dropout = nn.Sequential(*feature_dropout(dims, dropout))

    def forward(self, x: Tensor) -> list[Tensor]:
        features = [self.relu(self.bn1(self.conv1(x)))]
        x = self.maxpool(features[0])
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            features.append(x)
        return [*features[:-1], self.dropout(x)]


class BasicBlock(nn.Module):
    """Two convolutions beside a shortcut, which is projected where stride or width change."""

    def __init__(self, dims: int, inputs: int, width: int, stride: int, norm: Norm):
        super().__init__()
        self.conv1 = CONV[dims](inputs, width, 3, stride, 1, bias=False)
        self.bn1 = NORM[norm, dims](width, affine=True)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = CONV[dims](width, width, 3, 1, 1, bias=False)
        self.bn2 = NORM[norm, dims](width, affine=True)
        self.downsample = _shortcut(dims, inputs, width, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class Bottleneck(nn.Module):
    """Three convolutions, the middle one of a quarter of the features, beside a shortcut as the basic block's.

    The stride is the middle one's, as in torchvision's weights ("v1.5"), not the first's as in the paper.
    """

    def __init__(self, dims: int, inputs: int, width: int, stride: int, norm: Norm):
        super().__init__()
        narrow = width // 4
        self.conv1 = CONV[dims](inputs, narrow, 1, bias=False)
        self.bn1 = NORM[norm, dims](narrow, affine=True)
        self.conv2 = CONV[dims](narrow, narrow, 3, stride, 1, bias=False)
        self.bn2 = NORM[norm, dims](narrow, affine=True)
        self.conv3 = CONV[dims](narrow, width, 1, bias=False)
        self.bn3 = NORM[norm, dims](width, affine=True)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(dims, inputs, width, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        return self.relu(self.bn3(self.conv3(y)) + self.downsample(x))


def _shortcut(dims: int, inputs: int, width: int, stride: int, norm: Norm) -> nn.Sequential:
    """Projects where stride or width change; else nothing."""
    if stride == 1 and inputs == width:
        return nn.Sequential()
    return nn.Sequential(CONV[dims](inputs, width, 1, stride, bias=False), NORM[norm, dims](width, affine=True))


def he_normal_fan_out(module: nn.Module) -> None:
    """torchvision's initial weights, for ``network.apply``: He et al., ICCV 2015, arXiv:1502.01852."""
    if isinstance(module, nn.Conv2d | nn.Conv3d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
