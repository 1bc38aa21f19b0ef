"""Jigsaw puzzles: an image's tiles, shuffled in one of a few ways that differ much."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import permutations
from math import prod

import numpy as np
import torch
from torch import Tensor

from halfmask.augment.draw import to_device

MOST = 8
"""All permutations of so many tiles are looked through; of more, `POOL` of them (for 9 the result is as distant)."""
POOL = 50_000


@cache
def distant_permutations(tiles: int, count: int) -> tuple[tuple[int, ...], ...]:
    """Permutations of 0 … tiles − 1 of large Hamming distance, the identity first; the same ones each time.

    Each further one is as far as can be from the nearest of those before and, among equals, from all of them
    (Noroozi & Favaro, ECCV 2016, arXiv:1603.09246, Alg. 1, who look at the distance from all alone and start from any).
    There are at most ``tiles``! of them.
    """
    if tiles <= MOST:
        pool = np.array(list(permutations(range(tiles))), np.int8)
    else:
        identity = np.arange(tiles, dtype=np.int16)
        drawn = np.random.default_rng(0).permuted(np.tile(identity, (POOL, 1)), axis=1)
        pool = np.unique(np.concatenate([identity[None], drawn]), axis=0)  # sorted: the identity is first
    chosen = [0]
    nearest, total = np.full(len(pool), tiles + 1), np.zeros(len(pool), int)
    while len(chosen) < min(count, len(pool)):
        distance = (pool != pool[chosen[-1]]).sum(1)
        nearest, total = np.minimum(nearest, distance), total + distance
        chosen.append(int(np.argmax(nearest * (tiles * count + 1) + total)))
    return tuple(tuple(map(int, pool[number])) for number in chosen)


def puzzle(image: Tensor, permutation: Tensor, grid: Sequence[int], gap: float = 0.15, mix: bool = False) -> Tensor:
    """The images with their tiles shuffled, of their own shape, and 0 between tiles.

    Each tile is cut at any place within its cell of the grid and lies in the middle of another, so that no edge goes on
    from one to the next.

    Args:
        image: (B, C, *spatial).
        permutation: (B, tiles), on the CPU: which tile of the image lies in each cell, both counted row by row.
        grid: cells along each axis; what is left of an axis at its end belongs to none.
        gap: the share of a cell's side, along axes with several, that its tile leaves free.
        mix: each tile shows one of the channels alone, any as likely; the others are 0.
    """
    batch_size, channels, *spatial = image.shape
    cell = torch.tensor([n // k for n, k in zip(spatial, grid, strict=True)])
    several = torch.tensor(grid) > 1
    side = torch.where(several, (cell * (1 - gap)).round().long(), cell).clamp(min=1)
    stride = torch.tensor([prod(spatial[axis + 1 :]) for axis in range(len(spatial))])
    corner = torch.cartesian_prod(*map(torch.arange, grid)) * cell
    within = (torch.cartesian_prod(*map(torch.arange, side.tolist())) * stride).sum(1)
    to = ((corner + (cell - side) // 2) * stride).sum(1)
    cut = corner + (torch.rand(batch_size, *corner.shape) * (cell - side + 1)).long()
    start = (cut * stride).sum(2).gather(1, permutation)

    voxels = len(within)
    start, to, within = (to_device(t, image.device) for t in (start, to, within))
    source = (start[..., None] + within).flatten(1)[:, None].expand(-1, channels, -1)
    tiles = image.flatten(2).gather(2, source)
    if mix:
        shown = to_device(torch.randint(channels, (batch_size, 1, len(corner))), image.device)
        seen = shown == torch.arange(channels, device=image.device)[:, None]
        tiles = tiles * seen.repeat_interleave(voxels, 2)
    out = torch.zeros_like(image).flatten(2)
    return out.index_copy(2, (to[:, None] + within).flatten(), tiles).view_as(image)
