"""A U-Net on a ResNet encoder."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from halfmask.config import Count
from halfmask.networks.blocks import CONV, MAXIMUM, NORM, Dropout, Norm, conv_block, feature_dropout
from halfmask.networks.levels import check_sides, halving
from halfmask.networks.segmenter import Decoder, SegmentationNetwork, UpConcatenate


class ResNetUNet(SegmentationNetwork):
    """A U-Net on ResNet-34, as in `segmentation_models.pytorch`, in 2D and, which is ours, in 3D.

    He et al., CVPR 2016, arXiv:1512.03385; Ronneberger et al., MICCAI 2015, arXiv:1505.04597. Levels of strides
    2, 4, 8, 16 and 32; a decoder level doubles the map below, puts the skip beside it and convolves twice; the
    head does so once more, without a skip. The encoder's names are torchvision's, so that its ImageNet weights
    (three channels) load into ``encoder`` by name, all but ``fc``. With the same weights the logits are those of
    `Unet("resnet34")`, whose other names map to ours so, i being 0 for the convolution and 1 for the norm:

        decoder.blocks.{j}.conv1.{i}, conv2.{i}     decoder.levels.{3-j}.convs.0, convs.1
        decoder.blocks.4.conv1.{i}, conv2.{i}       head.1, head.2
        segmentation_head.0                         head.3

    Args:
        pooling, kernels: not used; the depth is fixed.
        width: features of the encoder's first two levels, doubled at each further one; a multiple of 4.
        blocks: residual blocks of the encoder's last four levels; "2,2,2,2" is ResNet-18.
        dropout: of whole maps, at the bottleneck and at the finest decoder level.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        dims: int,
        patch: Sequence[int],
        pooling: Sequence[Sequence[int]] | None = None,
        kernels: Sequence[Sequence[int]] | None = None,
        *,
        width: Count = 64,
        blocks: tuple[Count, Count, Count, Count] = (3, 4, 6, 3),
        norm: Norm = "batch",
        dropout: Dropout = 0.0,
    ):
        check_sides(dims, patch)
        if width % 4:
            raise ValueError(f"width = {width} is halved twice towards the head: take a multiple of 4")
        widths = (width, width, 2 * width, 4 * width, 8 * width)
        maps = (width // 2, width, 2 * width, 4 * width, 8 * width)
        steps = halving(dims, 4, first=2)
        super().__init__(channels, classes, dims, patch, widths=widths, map_widths=maps, pooling=steps, norm=norm)

        def convs(inputs: int, outputs: int) -> list[nn.Module]:
            kernel = (3,) * dims
            first = conv_block(dims, inputs, outputs, kernel, norm=norm, slope=0, bias=False)
            return [first, conv_block(dims, outputs, outputs, kernel, norm=norm, slope=0, bias=False)]

        def up(k: int) -> nn.Module:
            layers = convs(maps[k + 1] + widths[k], maps[k])
            return UpConcatenate(_double(), nn.Sequential(*layers, *feature_dropout(dims, 0 if k else dropout)))

        self.encoder = ResNet(channels, dims, width, blocks, norm, dropout)
        self.decoder = Decoder(map(up, range(4)))
        last = CONV[dims](width // 4, classes, 3, padding=1)
        self.head = nn.Sequential(_double(), *convs(width // 2, width // 4), last)
        self.apply(_he_normal)


class ResNet(nn.Module):
    """ResNet without its classifier, under torchvision's names: features of strides 2 to 32."""

    def __init__(
        self, channels: int, dims: int, width: int, blocks: tuple[int, int, int, int], norm: Norm, dropout: float
    ):
        super().__init__()
        self.conv1 = CONV[dims](channels, width, 7, 2, 3, bias=False)
        self.bn1 = NORM[norm, dims](width, affine=True)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = MAXIMUM[dims](3, 2, 1)

        def layer(k: int) -> nn.Module:
            outputs = width * 2**k
            first = BasicBlock(dims, outputs // 2 if k else width, outputs, 2 if k else 1, norm)
            return nn.Sequential(first, *(BasicBlock(dims, outputs, outputs, 1, norm) for _ in range(blocks[k] - 1)))

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
        projection = (CONV[dims](inputs, width, 1, stride, bias=False), NORM[norm, dims](width, affine=True))
        self.downsample = nn.Sequential(*projection if stride != 1 or inputs != width else ())

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + self.downsample(x))


def _double() -> nn.Module:
    return nn.Upsample(scale_factor=2, mode="nearest")


def _he_normal(module: nn.Module) -> None:
    """torchvision's initial weights, for ``network.apply``: He et al., ICCV 2015, arXiv:1502.01852."""
    if isinstance(module, nn.Conv2d | nn.Conv3d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
