"""nnU-Net's networks: the plain U-Net and the one with a residual encoder."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from halfmask.config import Count
from halfmask.networks.blocks import (
    TRANSPOSED,
    Dropout,
    Norm,
    conv_block,
    conv_blocks,
    feature_dropout,
    he_normal,
    residual_blocks,
)
from halfmask.networks.levels import plan_levels
from halfmask.networks.segmenter import Decoder, Encoder, SegmentationNetwork, UpConcatenate


class UNet(SegmentationNetwork):
    """nnU-Net's U-Net in 2D and 3D, plain or with a residual encoder.

    Isensee et al., Nature Methods 2021, arXiv:1904.08128; the residual encoder from Isensee et al., MICCAI
    2024, arXiv:2404.09556. Strided convolutions down, transposed convolutions up. With the same weights the
    logits are those of nnU-Net's `dynamic_network_architectures`, whose names map to ours so, for L levels:

        encoder.stem.convs.0              encoder.stem                      residual encoder
        encoder.stages.{k}.blocks.{i}     encoder.levels.{k}.{i}            residual encoder
        encoder.stages.{k}.0.convs.{i}    encoder.levels.{k}.{i}            plain encoder
        decoder.transpconvs.{j}           decoder.levels.{L-2-j}.up         ours are finest first
        decoder.stages.{j}.convs.{i}      decoder.levels.{L-2-j}.convs.{i}
        decoder.seg_layers.{L-2}          head

    Dropout is not nnU-Net's (after each convolution, and off) but that of the semi-supervised benchmarks'
    V-Net: of whole maps, at the bottleneck and at the finest decoder level.

    Args:
        pooling: the stride of each level relative to the one above it, ones at level 0.
        kernels: the kernel size of each level.
        width: features at level 0, doubled at each level.
        max_width: where doubling ends; 512 in 2D and 320 in 3D if None.
        blocks: encoder convolutions, or residual blocks, of each level, the last repeated as often as needed;
            nnU-Net's 2, or 1, 3, 4, 6, 6, … if None.
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
        width: Count = 32,
        max_width: Count | None = None,
        residual: bool = False,
        blocks: tuple[Count, ...] | None = None,
        norm: Norm = "instance",
        dropout: Dropout = 0.0,
    ):
        strides, sizes = plan_levels(dims, patch, pooling, kernels, most={2: 6, 3: 5}.get(dims, 0))
        depth = len(strides)
        widest = max_width or {2: 512, 3: 320}[dims]
        widths = tuple(min(width * 2**k, widest) for k in range(depth))
        super().__init__(channels, classes, dims, patch, widths=widths, pooling=strides, norm=norm)
        self.residual = residual

        counts = tuple(blocks or ((1, 3, 4, 6) if residual else (2,)))
        counts += counts[-1:] * (depth - len(counts))
        encoder_blocks = residual_blocks if residual else conv_blocks

        def dropped(here: bool) -> list[nn.Module]:
            return feature_dropout(dims, dropout if here else 0)

        def down(k: int) -> nn.Module:
            inputs = widths[max(k - 1, 0)] if k or residual else channels
            layers = encoder_blocks(counts[k], dims, inputs, widths[k], sizes[k], strides[k], norm=norm)
            return nn.Sequential(*layers, *dropped(k == depth - 1))

        def up(k: int) -> nn.Module:
            larger = TRANSPOSED[dims](widths[k + 1], widths[k], strides[k + 1], strides[k + 1])
            layers = conv_blocks(1 if residual else 2, dims, 2 * widths[k], widths[k], sizes[k], norm=norm)
            return UpConcatenate(larger, nn.Sequential(*layers, *dropped(k == 0)))

        stem = conv_block(dims, channels, widths[0], sizes[0], norm=norm) if residual else None
        self.encoder = Encoder(map(down, range(depth)), stem)
        self.decoder = Decoder(map(up, range(depth - 1)))
        self.apply(he_normal)
