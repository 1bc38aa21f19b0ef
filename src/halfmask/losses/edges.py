"""Whether the boundaries of clusters lie where the image has edges."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, avg_pool3d

from halfmask.losses.segmentation import precise

FLAT = 1e-4
"""Added to variances of edge strength (probabilities change by 0 to 1): where nothing changes there is no edge."""


def edge_strength(x: Tensor, axes: Sequence[bool]) -> Tensor:
    """The length of the gradient of images or maps (B, C, *spatial), over all channels: (B, 1, *spatial).

    By differences to the next voxel, 0 behind the last.

    Args:
        axes: along which to look; not those of thick slices, between which everything changes.
    """
    x, squares = precise(x), []
    for axis, able in enumerate(axes, start=2):
        if able:
            last = x.narrow(axis, x.shape[axis] - 1, 1)
            squares.append(torch.diff(x, dim=axis, append=last).square().sum(1, keepdim=True))
    return (torch.stack(squares).sum(0) + FLAT**2).sqrt() - FLAT


def edge_mismatch(
    clusters: Tensor, image: Tensor, window: int, axes: Sequence[bool], counts: Tensor | None = None
) -> Tensor:
    """1 − the cross-correlation of the edges of clusters (B, K, *spatial) and of images (B, C, *spatial), in [0, 2].

    It is taken in a window about each voxel, as in Peng et al., arXiv:2202.02371. Windows weigh by how much the
    strength of the image's edges varies in them (its standard deviation): the paper's plain mean would have the noise
    of flat regions weigh as much as a contour.

    Args:
        window: its side, odd, along ``axes``; 1 along others.
        axes: see `edge_strength`.
        counts: (B, 1, *spatial), bool: the voxels that do; all if None.
    """
    p, y = edge_strength(clusters, axes), edge_strength(image.detach(), axes)
    known = torch.ones_like(p)
    if counts is not None:  # a voxel's edges are known where its neighbors are
        known = (counts & (edge_strength(counts.float(), axes) < 0.5)).to(p)
    means = _windowed(torch.cat([known, *(known * each for each in (p, y, p * p, y * y, p * y))], 1), window, axes)
    share, *moments = means.split(1, 1)
    a, b, aa, bb, ab = (each / share.clamp(min=1e-6) for each in moments)
    within = lambda square, mean: ((square - mean**2).clamp(min=0) + FLAT).sqrt()
    correlation = (ab - a * b) / within(aa, a)
    weight = known * within(bb, b)
    return 1 - (known * correlation).sum() / weight.sum().clamp(min=FLAT)


def _windowed(x: Tensor, window: int, axes: Sequence[bool]) -> Tensor:
    """The mean of (B, C, *spatial) over a window about each voxel, along one axis after another; 0 outside."""
    pool, dims = {2: avg_pool2d, 3: avg_pool3d}[len(axes)], len(axes)
    for axis in (axis for axis, able in enumerate(axes) if able):
        only = lambda n, other, axis=axis: tuple(n if i == axis else other for i in range(dims))
        x = pool(x, only(window, 1), stride=1, padding=only(window // 2, 0))
    return x
