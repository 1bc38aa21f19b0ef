"""A U-Net on a ResNet encoder."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from halfmask.config import Count
from halfmask.networks.blocks import CONV, Dropout, Norm, conv_block, feature_dropout
from halfmask.networks.levels import check_sides, halving
from halfmask.networks.resnet import Blocks, ResNetEncoder, he_normal_fan_out, resnet_widths
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
        width: features of the encoder's first level, doubled at each of its last three; a multiple of 4.
        blocks: residual blocks of the encoder's last four levels; "2,2,2,2" is ResNet-18.
        bottleneck: blocks of three convolutions that end with four times the features; with them it is ResNet-50.
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
        blocks: Blocks = (3, 4, 6, 3),
        bottleneck: bool = False,
        norm: Norm = "batch",
        dropout: Dropout = 0.0,
    ):
        check_sides(dims, patch)
        if width % 4:
            raise ValueError(f"width = {width} is halved twice towards the head: take a multiple of 4")
        widths = resnet_widths(width, bottleneck)
        maps = (width // 2, width, 2 * width, 4 * width, widths[-1])
        steps = halving(dims, 4, first=2)
        super().__init__(channels, classes, dims, patch, widths=widths, map_widths=maps, pooling=steps, norm=norm)
        self.bottleneck = bottleneck

        def convs(inputs: int, outputs: int) -> list[nn.Module]:
            kernel = (3,) * dims
            first = conv_block(dims, inputs, outputs, kernel, norm=norm, slope=0, bias=False)
            return [first, conv_block(dims, outputs, outputs, kernel, norm=norm, slope=0, bias=False)]

        def up(k: int) -> nn.Module:
            layers = convs(maps[k + 1] + widths[k], maps[k])
            return UpConcatenate(_double(), nn.Sequential(*layers, *feature_dropout(dims, 0 if k else dropout)))

        self.encoder = ResNetEncoder(channels, dims, width, blocks, bottleneck, norm, dropout)
        self.decoder = Decoder(map(up, range(4)))
        last = CONV[dims](width // 4, classes, 3, padding=1)
        self.head = nn.Sequential(_double(), *convs(width // 2, width // 4), last)
        self.apply(he_normal_fan_out)


def _double() -> nn.Module:
    return nn.Upsample(scale_factor=2, mode="nearest")
