"""The V-Net of the public semi-supervised benchmarks."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from halfmask.config import Count
from halfmask.networks.blocks import CONV, TRANSPOSED, Dropout, Norm, conv_blocks, feature_dropout, normalized
from halfmask.networks.levels import Shape, plan_levels
from halfmask.networks.segmenter import Decoder, Encoder, SegmentationNetwork, UpAdd


class VNet(SegmentationNetwork):
    """V-Net as UA-MT's code has it, and after it nearly every paper on the left-atrium benchmark.

    Milletari et al., 3DV 2016, arXiv:1606.04797; Yu et al., MICCAI 2019, arXiv:1907.07034
    (github.com/yulequan/UA-MT). Unlike Milletari's it has kernels of 3, no residual connections, and skips
    that are added, not concatenated. Four halvings, or fewer on small patches; 1, 2, 3, 3, 3 convolutions a
    level down and 3, 3, 2, 1 up. With ``dropout`` (0.5 there) whole maps are dropped at the bottleneck and at
    the finest decoder level. We differ in having a 2D form, and in instance norm's scale and shift.

    Args:
        pooling: the stride of each level relative to the one above it, ones at level 0; levels after the
            fifth are left out, so that a plan made for a deeper network serves.
        kernels: the kernel size of each level.
        width: features at level 0, doubled at each level.
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
        width: Count = 16,
        norm: Norm = "batch",
        dropout: Dropout = 0.0,
    ):
        strides, sizes = plan_levels(dims, patch, pooling, kernels, most=4)
        strides, sizes = strides[:5], sizes[:5]
        depth = len(strides)
        widths = tuple(width * 2**k for k in range(depth))
        super().__init__(channels, classes, dims, patch, widths=widths, pooling=strides, norm=norm)

        def convs(k: int, inputs: int, drop: bool) -> list[nn.Module]:
            blocks = conv_blocks(min(k + 1, 3), dims, inputs, widths[k], sizes[k], norm=norm, slope=0)
            return [*blocks, *feature_dropout(dims, dropout if drop else 0)]

        def resize(conv: type[nn.Module], inputs: int, outputs: int, stride: Shape) -> nn.Module:
            return normalized(conv(inputs, outputs, stride, stride), outputs, dims, norm=norm, slope=0)

        def down(k: int) -> nn.Module:
            if k == 0:
                return nn.Sequential(*convs(0, channels, drop=depth == 1))
            smaller = resize(CONV[dims], widths[k - 1], widths[k], strides[k])
            return nn.Sequential(smaller, *convs(k, widths[k], drop=k == depth - 1))

        def up(k: int) -> nn.Module:
            larger = resize(TRANSPOSED[dims], widths[k + 1], widths[k], strides[k + 1])
            return UpAdd(larger, nn.Sequential(*convs(k, widths[k], drop=k == 0)))

        self.encoder = Encoder(map(down, range(depth)))
        self.decoder = Decoder(map(up, range(depth - 1)))
