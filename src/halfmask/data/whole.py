"""Whole images at one size, for networks that tell what they show."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np
import torch
import torch.nn.functional as F

SIDES = {2: 224, 3: 96}
"""The longest side of a patch, by dims: ImageNet's for pictures, the field's usual for volumes."""
UNIT = 32
"""Sides are multiples of it, as ResNets and vision transformers want them."""


def patch_for(shape: Sequence[float], spacing: Sequence[float], why: list[str]) -> tuple[int, ...]:
    """The patch that holds images of such a median shape whole, in their proportions.

    Args:
        shape: voxels, after resampling to ``spacing`` (mm).
    """
    extent = np.array(shape, float) * np.array(spacing, float)
    longest = min(SIDES[len(shape)], max(UNIT, UNIT * ceil(max(shape) / UNIT)))
    patch = tuple(UNIT * ceil(longest * side / extent.max() / UNIT - 0.25) or UNIT for side in extent)
    why.append(f"patch: the median image's proportions, its longest side {max(patch)} voxels; --set patch=… for others")
    return patch


def fitted_shape(shape: Sequence[int], spacing: Sequence[float], patch: Sequence[int]) -> tuple[int, ...]:
    """The shape of an image with its proportions in mm that just fits into ``patch``.

    Args:
        shape, spacing: of the image (3,); patch: two sides for a picture, which is one slice, else three.
    """
    free = slice(3 - len(patch), 3)
    extent = np.array(shape, float)[free] * np.array(spacing, float)[free]
    scale = float((extent / np.array(patch)).max())
    inside = [max(1, min(side, round(float(e) / scale))) for e, side in zip(extent, patch, strict=True)]
    return (*(int(n) for n in shape[: 3 - len(patch)]), *inside)


def shrunk(array: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """An array (..., *spatial) with each axis that is longer than in ``shape`` brought to it by area averages, float32.

    A camera's picture is made twenty times smaller: samples of it alone would be noise.
    """
    own = array.shape[-3:]
    target = tuple(min(n, m) for n, m in zip(own, shape, strict=True))
    if target == own:
        return array
    lines = torch.from_numpy(np.ascontiguousarray(array, np.float32)).reshape(1, -1, *own)
    return F.interpolate(lines, target, mode="area").numpy().reshape(*array.shape[:-3], *target)
