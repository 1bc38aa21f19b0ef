"""Swin UNETR: a Swin transformer encoder with a convolutional decoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from halfmask.config import Count
from halfmask.networks.blocks import Dropout
from halfmask.networks.levels import check_sides, halving
from halfmask.networks.segmenter import Decoder, SegmentationNetwork
from halfmask.networks.swin import Merging, Swin, check_heads


class SwinUNETR(SegmentationNetwork):
    """MONAI's Swin UNETR, in 2D and 3D.

    Hatamizadeh et al., BrainLes 2021, arXiv:2201.01266. With S stages of Swin blocks and tokens of side t the
    levels have strides 1, t, 2 t, … 2^S t, and sides must be multiples of the last, 32 by default. With the
    same weights the logits are those of MONAI's `SwinUNETR`, whose names map to ours so:

        swinViT.patch_embed               encoder.embed.0
        swinViT.layers{k+1}.0             encoder.stages.{k}
        …attn.relative_position_index     none: constants
        encoder1, 2, 3, 4, 10             encoder.skips.0, 1, 2, 3, 5
        decoder{k+1}                      decoder.levels.{k}
        out.conv.conv                     head

    We differ in taking tokens of any size and any number of stages. Where a level is smaller than the window,
    MONAI, and so we, give its voxels the position biases of the window's first ones.

    Args:
        pooling, kernels: not used; the settings fix the depth.
        feature_size: features at levels 0 and 1, doubled at each further level.
        token: t.
        window: the side of the attention windows, in tokens.
        depths, heads: blocks and attention heads of each stage.
        dropout: of features of tokens, after embedding and attention and in the perceptrons.
        attention_dropout: of attention weights.
        path_dropout: of whole blocks; see `Swin`.
        merging: "repeated" for 3D weights that were trained with MONAI before 1.5; see `PatchMerging`.
        checkpointing: Swin blocks are computed again in the backward pass, for less memory.
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
        feature_size: Count = 48,
        token: Count = 2,
        window: Count = 7,
        depths: tuple[Count, ...] = (2, 2, 2, 2),
        heads: tuple[Count, ...] = (3, 6, 12, 24),
        dropout: Dropout = 0.0,
        attention_dropout: Dropout = 0.0,
        path_dropout: Dropout = 0.0,
        merging: Merging = "all",
        checkpointing: bool = False,
    ):
        check_sides(dims, patch)
        check_heads("feature_size", feature_size, heads)
        stages = len(depths)
        windows = ((window,) * dims,) * stages
        swin = Swin(dims, feature_size, depths, heads, windows, dropout, attention_dropout, path_dropout, checkpointing)
        widths = (feature_size, *(feature_size * 2**k for k in range(stages + 1)))
        steps = ((1,) * dims, *halving(dims, stages, first=token))
        super().__init__(channels, classes, dims, patch, widths=widths, pooling=steps, norm="instance")

        from monai.networks.blocks.unetr_block import UnetrUpBlock

        def up(k: int) -> nn.Module:
            kernel, stride = 3, steps[k + 1]
            return UnetrUpBlock(dims, widths[k + 1], widths[k], kernel, stride, norm_name="instance", res_block=True)

        self.encoder = _Encoder(channels, swin, token, merging)
        self.decoder = Decoder(map(up, range(stages + 1)))


class _Encoder(nn.Module):
    """The image and the tokens after each stage, each through convolutions, the last but one as it is."""

    def __init__(self, channels: int, swin: Swin, token: int, merging: Merging):
        super().__init__()
        from monai.networks.blocks.unetr_block import UnetrBasicBlock

        def convs(inputs: int, width: int) -> nn.Module:
            return UnetrBasicBlock(
                swin.dims, inputs, width, kernel_size=3, stride=1, norm_name="instance", res_block=True
            )

        stages = len(swin.depths)
        widths = [swin.width * 2**k for k in range(stages + 1)]
        self.embed = swin.embedding(channels, token, normalized=False)
        self.stages = nn.ModuleList(swin.stage(k, merging) for k in range(stages))
        skips = [convs(channels, swin.width), *(convs(width, width) for width in widths)]
        skips[stages] = nn.Identity()
        self.skips = nn.ModuleList(skips)

    def forward(self, x: Tensor) -> list[Tensor]:
        tokens = [self.embed(x)]
        for stage in self.stages:
            tokens.append(stage(tokens[-1].contiguous()))
        inputs = [x, *map(_normalized, tokens)]
        return [skip(each) for skip, each in zip(self.skips, inputs, strict=True)]


def _normalized(x: Tensor) -> Tensor:
    """Features (B, C, *spatial) with mean 0 and variance 1 at each voxel."""
    return F.layer_norm(x.movedim(1, -1), x.shape[1:2]).movedim(-1, 1)
