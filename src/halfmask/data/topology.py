"""Patch, strides and kernels of a network that trains within some memory, by nnU-Net's rules."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

WIDTH = {2: 32, 3: 32}
MOST = {2: 512, 3: 320}
"""Features at the first level, and the most that any level has."""
DEEPEST = {2: 6, 3: 5}
BYTES_PER_FEATURE = 50
"""Training memory for each voxel and feature at one level of the encoder, decoder included, in float32.

Measured on our U-Net with `dice_ce`: ten maps (40.6 bytes) are kept for the backward pass (two convolutions
and norms down, the concatenation and two more up), and 48 (2D) to 52 (3D) is the peak with the gradients that
live at once. Weights, their gradients and the optimizer's averages come on top, 0.5 GiB at most."""


def fit(
    shape: Sequence[float], spacing: Sequence[float], batch: int, memory_gib: float
) -> tuple[tuple[int, ...], list[tuple[int, ...]], list[tuple[int, ...]]]:
    """The largest patch of an image's proportions that trains within the memory: patch, pooling, kernels."""
    ceiling = 512 if len(shape) == 2 else 192
    patch = [min(float(n), ceiling) for n in shape]
    while True:
        rounded, pooling, kernels = topology(patch, spacing)
        if memory(rounded, pooling, batch) <= memory_gib or max(patch) <= 16:
            return rounded, pooling, kernels
        largest = int(np.argmax([p / n for p, n in zip(patch, shape, strict=True)]))
        candidates = [a for a in range(len(patch)) if patch[a] == max(patch)]
        patch[largest if patch[largest] > 16 else candidates[0]] *= 0.95


def memory(patch: Sequence[int], pooling: Sequence[Sequence[int]], batch: int) -> float:
    """About how many GiB our U-Net takes for a training step."""
    dims, voxels, total = len(patch), float(np.prod(patch)), 0.0
    for level in range(len(pooling) + 1):
        total += voxels * min(WIDTH[dims] * 2**level, MOST[dims])
        if level < len(pooling):
            voxels /= np.prod(pooling[level])
    return batch * total * BYTES_PER_FEATURE / 2**30


def topology(
    patch: Sequence[float], spacing: Sequence[float]
) -> tuple[tuple[int, ...], list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Pool an axis while its spacing is under twice the finest and at least 4 voxels are left afterwards."""
    size, now = np.array(patch, float), np.array(spacing, float)
    pooling: list[tuple[int, ...]] = []
    wide = now <= 2 * now.min()  # no convolution across slices over twice as thick as the pixels are wide
    kernels = [_kernel(wide)]
    while len(pooling) < DEEPEST[len(size)]:
        able = size >= 8
        able &= now < 2 * now[able].min(initial=np.inf)
        if not able.any():
            break
        stride = np.where(able, 2, 1)
        size, now = np.ceil(size / stride), now * stride
        pooling.append(tuple(int(s) for s in stride))
        wide |= now <= 2 * now.min()
        kernels.append(_kernel(wide))
    total = np.prod(np.array(pooling), 0) if pooling else np.ones(len(size))
    rounded = tuple(int(np.ceil(p / t) * t) for p, t in zip(patch, total, strict=True))
    return rounded, pooling, kernels


def _kernel(wide: np.ndarray) -> tuple[int, ...]:
    return tuple(3 if w else 1 for w in wide)
