"""Uneven blobs at random places: lesions, and what looks like them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from halfmask.data.phantom.template import Field


def blobs(
    rng: Generator,
    spacing: Sequence[float],
    rough: Field,
    allowed: NDArray[np.bool_],
    volumes: NDArray[np.floating],
    stretch: float = 0.4,
) -> Field:
    """Depth in mm in a blob each of ``volumes`` (mm³), −99 far from all.

    Args:
        rough: a smooth field about 0, (*spatial), that pushes the surface out and in.
        stretch: deviation of the logarithm of their axes.
        allowed: where their centers may lie, on a grid of any shape over the same view.
    """
    step = np.asarray(spacing, float)
    shape = np.array(rough.shape)
    depth = np.full(rough.shape, -99, np.float32)
    for volume in volumes:
        points = rng.random((2000, 3))
        center = points[allowed[tuple((points * allowed.shape).astype(int).T)].argmax()] * shape
        axes = np.exp(rng.normal(0, stretch, 3))
        turn = np.linalg.qr(rng.standard_normal((3, 3)))[0] / axes[:, None]
        radius = float(np.cbrt(volume / axes.prod() * 3 / (4 * np.pi)))
        reach = (1.5 * radius * axes.max() + 2 * step) / step
        low = np.maximum(0, center - reach).astype(int)
        high = np.minimum(shape, center + reach + 1).astype(int)
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        grid = np.meshgrid(*(np.arange(a, b) + 0.5 for a, b in zip(low, high, strict=True)), indexing="ij")
        offset = (np.stack(grid, -1) - center) * step
        away = np.sqrt(((offset @ turn.T) ** 2).sum(-1))
        depth[box] = np.maximum(depth[box], radius * (1 + 0.4 * rough[box]) - away)
    return depth
