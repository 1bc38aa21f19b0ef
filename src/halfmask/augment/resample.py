"""How images are resampled: whole voxels by one index, positions in between for `grid_sample`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from halfmask.augment.draw import to_device


def take(x: Tensor, sign: Tensor, offset: Tensor, shape: Sequence[int], fill: float) -> Tensor:
    """Output voxel o is x's voxel ``sign · o + offset``, bit for bit, `fill` outside: flips and whole shifts.

    Args:
        x: (B, C, *source), of any type and device.
        sign, offset: (B, D), ±1 and whole numbers, on the CPU.
    """
    index = torch.zeros((), dtype=torch.long, device=x.device)
    outside = None
    for axis, (size, out) in enumerate(zip(x.shape[2:], shape, strict=True)):
        at = (sign[:, axis, None] * torch.arange(out) + offset[:, axis, None]).long()
        view = (len(at), *[out if i == axis else 1 for i in range(len(shape))])
        index = index * size + to_device(at.clamp(0, size - 1), x.device).view(view)
        if (beyond := (at < 0) | (at >= size)).any():
            beyond = to_device(beyond, x.device).view(view)
            outside = beyond if outside is None else outside | beyond
    index = index.flatten(1)[:, None].expand(-1, x.shape[1], -1)
    values = x.flatten(2).gather(2, index).view(*x.shape[:2], *shape)
    return values if outside is None else values.masked_fill(outside[:, None], fill)


def positions(matrix: Tensor, offset: Tensor, shape: Sequence[int], device: torch.device) -> Tensor:
    """``matrix @ o + offset`` (B, D, *shape), float32, for every voxel o of `shape`, by broadcast sums."""
    ones = [1] * len(shape)
    total = to_device(offset.float(), device).view(*offset.shape, *ones)
    for axis, size in enumerate(shape):
        step = to_device(matrix[..., axis].float(), device).view(*offset.shape, *ones)
        total = total + step * torch.arange(size, device=device).view(-1, *ones[axis + 1 :])
    return total


def edges(size: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The scale and shift (D,) that take voxel positions to `grid_sample`'s −1…1 from edge to edge.

    That is ``align_corners=False``, which, unlike its opposite, also serves an axis of one voxel.
    """
    voxels = torch.tensor(size, dtype=torch.float64)
    return 2 / voxels, 1 / voxels - 1
