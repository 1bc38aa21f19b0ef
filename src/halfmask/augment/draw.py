"""Random parameters of augmentation: few numbers a sample, neutral where a transform was not drawn.

They are drawn on the CPU, from torch's global generator: the host then knows which samples a transform
concerns, computes those alone and never waits for the GPU, and a seed draws the same on every device.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def uniform(shape: Sequence[int], low: float, high: float) -> Tensor:
    return low + (high - low) * torch.rand(*shape)


def factor(shape: Sequence[int], low: float, high: float) -> Tensor:
    """Factors in [low, high] around 1: as often below as above it, uniform on either side, as in nnU-Net."""
    swing = uniform(shape, -1, 1)
    return 1 + swing * torch.where(swing < 0, 1 - low, high - 1)


def sometimes(values: Tensor, p: float, neutral: float | Tensor, each: float = 1.0) -> Tensor:
    """`values` (B, …), or `neutral` but for a share `p` of the samples.

    With ``each < 1`` the values are (B, C, …) and only that share of a sample's channels keeps them.
    """
    drawn = torch.rand(len(values)) < p
    if each < 1:
        drawn = drawn[:, None] & (torch.rand(values.shape[:2]) < each)
    return torch.where(drawn.reshape(*drawn.shape, *[1] * (values.ndim - drawn.ndim)), values, neutral)


def histogram_levels(size: Sequence[int], p: float = 1.0) -> Tensor:
    """Levels (B, C, 3) for `intensity.histogram_shift`, of size (B, C): for half the images one free point.

    For the other half three: each is uniform between its left neighbor and the place of its right one, as in
    Models Genesis (Zhou et al., MedIA 2021, arXiv:2004.07882).
    """
    middle = torch.rand(*size)
    one = torch.stack([middle / 2, middle, (1 + middle) / 2], -1)  # its neighbors lie on the lines through it
    points = [torch.zeros(*size)]
    for right in (0.5, 0.75, 1.0):
        points.append(points[-1] + torch.rand(*size) * (right - points[-1]))
    levels = torch.where(torch.rand(size[0], 1, 1) < 0.5, one, torch.stack(points[1:], -1))
    return sometimes(levels, p, torch.tensor([0.25, 0.5, 0.75]))


def bias_knots(size: Sequence[int], dims: int, strength: float = 0.5, p: float = 1.0) -> Tensor:
    """Control points (B, C, 5, …) for `intensity.bias_field`, of size (B, C), uniform in ±`strength`."""
    return sometimes(uniform((*size, *[5] * dims), -strength, strength), p, 0.0)


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """`values` on the device, without waiting for it."""
    return values.to(device, non_blocking=True)
