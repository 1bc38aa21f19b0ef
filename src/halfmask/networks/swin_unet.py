"""Swin-Unet: a U-Net of Swin transformer blocks alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from halfmask.config import Count
from halfmask.networks.blocks import CONV, Dropout
from halfmask.networks.levels import check_sides, halving
from halfmask.networks.segmenter import Decoder, SegmentationNetwork
from halfmask.networks.swin import Swin, check_heads, over_features

DEPTHS, HEADS = (2, 2, 2, 2), (3, 6, 12, 24)


class SwinUNet(SegmentationNetwork):
    """Swin-Unet in 2D and, which is ours, in 3D.

    Cao et al., ECCV workshops 2022, arXiv:2105.05537, as in their code: with S stages and tokens of side t the
    levels have strides t, 2 t, … 2^(S-1) t, 4 to 32 by default; the head enlarges t times. A skip is what the
    encoder's stage is given, not what it makes of it. Microsoft's Swin-T for ImageNet (window 7, three
    channels) maps to the encoder so; the authors start the decoder's blocks from it too:

        patch_embed                       encoder.embed.0
        layers.{k}.blocks.{i}             encoder.stages.{k}.blocks.{i}, decoder.levels.{k}.stage.blocks.{i}
        layers.{k}.downsample             encoder.stages.{k}.downsample
        …mlp.fc1, …mlp.fc2                …mlp.linear1, …mlp.linear2
        norm                              encoder.norm
        …attn.relative_position_index     none: constants
        …attn_mask, head                  none

    Windows are no larger than the training patch is at their level, as in Microsoft's code. We differ where
    sides of a level are no multiple of the window: they are padded with voxels that are attended to, not
    refused, so a window that divides them is better, 8 for 256. Stochastic depth, 0.2 in the authors' training,
    is off by default.

    Args:
        pooling, kernels: not used; the settings fix the depth.
        embed: features at level 0, doubled at each further level.
        token: t.
        window: the side of the attention windows, in tokens.
        depths, heads: blocks and attention heads of each stage, in encoder and decoder alike. If None, the authors'
            (2, 2, 2, 2) and (3, 6, 12, 24), of which a patch has as many as its sides can be divided for, two at
            least, and as leave more than one token.
        dropout: of features of tokens, after embedding and attention and in the perceptrons.
        attention_dropout: of attention weights.
        path_dropout: of whole blocks; see `Swin`.
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
        embed: Count = 96,
        token: Count = 4,
        window: Count = 7,
        depths: tuple[Count, ...] | None = None,
        heads: tuple[Count, ...] | None = None,
        dropout: Dropout = 0.0,
        attention_dropout: Dropout = 0.0,
        path_dropout: Dropout = 0.0,
        checkpointing: bool = False,
    ):
        check_sides(dims, patch)
        stages = len(depths or heads or ()) or _stages(patch, token)
        depths, heads = depths or DEPTHS[:stages], heads or HEADS[:stages]
        check_heads("embed", embed, heads)
        windows = tuple(tuple(max(1, min(window, n // (token * 2**k))) for n in patch) for k in range(stages))
        swin = Swin(dims, embed, depths, heads, windows, dropout, attention_dropout, path_dropout, checkpointing)
        widths = tuple(embed * 2**k for k in range(stages))
        super().__init__(channels, classes, dims, patch, widths=widths, pooling=halving(dims, stages - 1, first=token))

        self.encoder = _Encoder(channels, swin, token)
        self.decoder = Decoder(_UpConcatenate(swin, k) for k in range(stages - 1))
        self.head = nn.Sequential(PatchExpand(dims, embed, embed, token), CONV[dims](embed, classes, 1, bias=False))
        self.apply(_small_normal)


class PatchExpand(nn.Module):
    """Enlarges each axis of (B, C, *spatial) ``factor`` times: every voxel's features become those of a block."""

    def __init__(self, dims: int, inputs: int, width: int, factor: int = 2):
        super().__init__()
        self.factor, self.width = factor, width
        self.expand = nn.Linear(inputs, factor**dims * width, bias=False)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        batch, _, *sides = x.shape
        dims = len(sides)
        x = self.expand(x.movedim(1, -1)).unflatten(-1, (*(self.factor,) * dims, self.width))
        pairs = [axis for i in range(dims) for axis in (1 + i, 1 + dims + i)]  # each side, then its place in the block
        x = x.permute(0, *pairs, -1).reshape(batch, *(side * self.factor for side in sides), self.width)
        return self.norm(x).movedim(-1, 1)


class _Encoder(nn.Module):
    """What each stage is given, but of the last stage what it makes, normalized."""

    def __init__(self, channels: int, swin: Swin, token: int):
        super().__init__()
        last = len(swin.depths) - 1
        self.embed = swin.embedding(channels, token, normalized=True)
        self.stages = nn.ModuleList(swin.stage(k, "all" if k < last else None) for k in range(last + 1))
        self.norm = nn.LayerNorm(swin.width * 2**last)

    def forward(self, x: Tensor) -> list[Tensor]:
        x, features = self.embed(x), []
        for stage in self.stages:
            features.append(x)
            x = stage(x.contiguous())
        return [*features[:-1], over_features(self.norm, x)]


class _UpConcatenate(nn.Module):
    """A decoder level: the map below, expanded, beside the skip, brought to the width, then Swin blocks."""

    def __init__(self, swin: Swin, k: int):
        super().__init__()
        width = swin.width * 2**k
        self.expand = PatchExpand(swin.dims, 2 * width, width)
        self.reduce = nn.Linear(2 * width, width)
        self.stage = swin.stage(k)
        self.norm = nn.LayerNorm(width) if k == 0 else nn.Identity()

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        both = torch.cat([self.expand(below), skip], 1)
        return over_features(self.norm, self.stage(over_features(self.reduce, both).contiguous()))


def _stages(patch: Sequence[int], token: int) -> int:
    """How many of the authors' stages fit, or two."""
    whole = lambda unit: all(side % unit == 0 for side in patch) and any(side > unit for side in patch)
    return max(n for n in range(2, len(DEPTHS) + 1) if n == 2 or whole(token * 2 ** (n - 1)))


def _small_normal(module: nn.Module) -> None:
    """Swin's initial weights, for ``network.apply``."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
