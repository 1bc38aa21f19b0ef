"""A translator: images of one scanner as another would show them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from halfmask.networks.blocks import CONV, ResidualBlock, conv_block, he_normal


class Translator(nn.Module):
    """Images (B, C, *spatial) to images of the same shape, of which only some channels may change.

    The generator of Zhu et al., ICCV 2017, arXiv:1703.10593 (convolutions down, residual blocks, up again), with two
    differences: it makes the change, not the image, which is zero at first, so that a new one leaves all as it is; and
    up-sampling is linear, which leaves no checkerboard, with skips that keep what is fine, as anatomy is to stay.

    Args:
        channels: C.
        changed: numbers of the channels that it changes; all if None. The others only help it.
        width: features at the images' own size, twice as many at each of the two levels below.
        blocks: residual blocks at the lowest level.
    """

    def __init__(
        self, channels: int, dims: int, *, changed: Sequence[int] | None = None, width: int = 16, blocks: int = 4
    ):
        super().__init__()
        self.changed = list(range(channels) if changed is None else changed)
        kernel, norm = (3,) * dims, "instance"
        widths = [width, 2 * width, 4 * width]
        block = lambda inputs, outputs, stride=1: conv_block(dims, inputs, outputs, kernel, stride, norm=norm)  # type: ignore[arg-type]
        self.first = block(channels, width)
        self.down = nn.ModuleList([block(above, below, 2) for above, below in pairwise(widths)])
        deepest = [ResidualBlock(dims, widths[-1], widths[-1], kernel, norm="instance") for _ in range(blocks)]
        self.middle = nn.Sequential(*deepest)
        self.up = nn.ModuleList([block(below, above) for above, below in pairwise(widths)])
        self.last = CONV[dims](width, len(self.changed), 1)
        self.mode = {2: "bilinear", 3: "trilinear"}[dims]
        self.apply(he_normal)
        nn.init.zeros_(self.last.weight)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        features, skips = self.first(x), []
        for level in self.down:
            skips.append(features)
            features = level(features)
        features = self.middle(features)
        for level, skip in zip(reversed(self.up), reversed(skips), strict=True):
            features = level(F.interpolate(features, skip.shape[2:], mode=self.mode)) + skip
        change = torch.zeros_like(x, dtype=features.dtype).index_copy(
            1, torch.tensor(self.changed, device=x.device), self.last(features)
        )
        return x + change
