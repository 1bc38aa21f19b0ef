"""Images in tokens: equal boxes side by side, some of them masked."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from halfmask.augment.draw import to_device
from halfmask.config import Share


def token_sides(patch: Sequence[int], most: int = 16, least: int = 4) -> tuple[int, ...]:
    """Sides of tokens that divide the patch's: powers of 2 up to ``most``, with at least ``least`` tokens an axis."""
    fits = lambda n, side: n % side == 0 and n // side >= least
    powers = [2**k for k in range(most.bit_length()) if 2**k <= most]
    return tuple(max((side for side in powers if fits(n, side)), default=1) for n in patch)


def masked_tokens(like: Tensor, token: Sequence[int], share: Share) -> Tensor:
    """A mask (B, 1, *spatial), bool, of tokens of each image (B, C, *spatial): as many in each, drawn at random.

    As near to the share as whole tokens allow; one at least is masked, and one is not.
    """
    grid = [n // side for n, side in zip(like.shape[2:], token, strict=True)]
    drawn = torch.rand(len(like), prod(grid))
    count = min(max(round(share * drawn.shape[1]), 1), drawn.shape[1] - 1)
    chosen = torch.zeros(drawn.shape, dtype=torch.bool).scatter_(1, drawn.argsort(1)[:, :count], True)
    mask = to_device(chosen.view(len(like), 1, *grid), like.device)
    for axis, side in enumerate(token, start=2):
        mask = mask.repeat_interleave(side, axis)
    return mask


def normalized_tokens(image: Tensor, token: Sequence[int]) -> Tensor:
    """Each token of each channel less its mean, over its standard deviation; what is even becomes 0."""
    shape = [n for size, side in zip(image.shape[2:], token, strict=True) for n in (size // side, side)]
    tokens = image.view(*image.shape[:2], *shape)
    var, mean = torch.var_mean(tokens, list(range(3, tokens.ndim, 2)), correction=0, keepdim=True)
    return ((tokens - mean) / (var + 1e-6).sqrt()).view_as(image)
