"""Stages of Swin transformer blocks, for the networks made of them; the blocks are MONAI's."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import gcd, lcm
from typing import Literal

import torch
from torch import Tensor, nn

from halfmask.networks.levels import Shape

Merging = Literal["all", "repeated"]


def over_features(layer: nn.Module, x: Tensor) -> Tensor:
    """Apply a layer that works on the last axis to the features of (B, C, *spatial)."""
    return layer(x.movedim(1, -1)).movedim(-1, 1)


def check_heads(setting: str, width: int, heads: tuple[int, ...]) -> None:
    """Raise ValueError unless each stage's heads share its width · 2^k features equally."""
    unit = lcm(*(n // gcd(n, 2**k) for k, n in enumerate(heads)))
    if width % unit:
        shown = heads[0] if len(heads) == 1 else heads
        fit = (width // unit + 1) * unit
        raise ValueError(
            f"{setting} = {width} cannot be shared equally by heads = {shown}: "
            f"take a multiple of {unit}, e.g. {fit}, or other heads"
        )


class PatchMerging(nn.Module):
    """Halves each axis of (B, *spatial, C): 2^dims neighbors side by side, normalized, and reduced to 2 C features.

    Liu et al., ICCV 2021, arXiv:2103.14030. Written here because the result must not hang on MONAI's version:
    in 3D MONAI before 1.5 took the neighbors (0, 1, 0) and (0, 0, 1) twice and two others never (its issue
    8284). Weights that were trained so need ``merging="repeated"``.
    """

    def __init__(self, dims: int, width: int, merging: Merging = "all"):
        super().__init__()
        corners = sorted(product((0, 1), repeat=dims), key=lambda corner: (sum(corner), [-i for i in corner]))
        if merging == "repeated" and dims == 3:
            corners = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (0, 1, 0), (0, 0, 1), (1, 1, 1)]
        self.neighbors = corners
        self.norm = nn.LayerNorm(2**dims * width)
        self.reduction = nn.Linear(2**dims * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        parts = [x[(slice(None), *(slice(start, None, 2) for start in corner))] for corner in self.neighbors]
        return self.reduction(self.norm(torch.cat(parts, -1)))


@dataclass(frozen=True)
class Swin:
    """Sizes and rates of stages of Swin blocks: stage k has ``depths[k]`` blocks of width · 2^k features.

    Attributes:
        windows: the attention window of each stage, a side per axis; every other block shifts it by half.
        path_dropout: the chance that an image skips the last block, growing to it linearly from 0 at the first.
        checkpointing: blocks are computed again in the backward pass, for less memory.

    Raises:
        ValueError: unless there are two stages or more, each with its heads.
    """

    dims: int
    width: int
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    windows: tuple[Shape, ...]
    dropout: float
    attention_dropout: float
    path_dropout: float
    checkpointing: bool

    def __post_init__(self) -> None:
        if len(self.depths) < 2 or len(self.heads) != len(self.depths):
            raise ValueError(
                "depths and heads must have one number each per stage, for two stages or more, "
                f"not {self.depths} and {self.heads}"
            )

    def embedding(self, channels: int, token: int, *, normalized: bool) -> nn.Module:
        """From images (B, channels, *spatial) to tokens (B, width, *spatial / token)."""
        from monai.networks.blocks.patchembedding import PatchEmbed

        norm = nn.LayerNorm if normalized else None
        embed = PatchEmbed(token, channels, self.width, norm, self.dims)  # type: ignore[arg-type]
        return nn.Sequential(embed, nn.Dropout(self.dropout))

    def stage(self, k: int, merging: Merging | None = None) -> nn.Module:
        """Stage k on (B, C, *spatial), followed by `PatchMerging` unless ``merging`` is None."""
        from monai.networks.nets.swin_unetr import BasicLayer, WindowAttention

        first, total = sum(self.depths[:k]), sum(self.depths)
        stage = BasicLayer(
            dim=self.width * 2**k,
            depth=self.depths[k],
            num_heads=self.heads[k],
            window_size=self.windows[k],
            drop_path=[self.path_dropout * i / max(total - 1, 1) for i in range(first, first + self.depths[k])],
            qkv_bias=True,
            drop=self.dropout,
            attn_drop=self.attention_dropout,
            use_checkpoint=self.checkpointing,
        )
        if merging is not None:
            stage.downsample = PatchMerging(self.dims, self.width * 2**k, merging)
        for module in stage.modules():
            if isinstance(module, WindowAttention):  # constants: no state of a method, nothing to load
                index = module.get_buffer("relative_position_index")
                module.register_buffer("relative_position_index", index, persistent=False)
        return stage
