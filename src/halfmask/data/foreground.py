"""Where in an image there is something."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Box = tuple[tuple[int, int], ...]
"""Start and end along each axis."""


def foreground(image: np.ndarray) -> np.ndarray:
    """Voxels (*spatial) that are not background in any channel of an image (C, *spatial).

    By threshold, never as "non-zero" (air is −1000 in CT and noise in MRI): 5 % of the way from the
    1st to the 99.5th percentile of the channel. An image without dark background is foreground nearly all over.
    """
    mask = np.zeros(image.shape[1:], bool)
    step = max(1, mask.size // 500_000)
    while math.gcd(step, mask.size) > 1:  # else the sample may lie all in a few slices
        step += 1
    for channel in image:
        sample = channel.reshape(-1)[::step]
        low, high = np.percentile(sample, (1, 99.5))
        mask |= channel > low + 0.05 * (high - low)
    return mask


def foreground_box(mask: np.ndarray, *, share: float = 5e-4, margin: int = 3) -> Box:
    """The box around a mask (*spatial).

    A slab counts from this ``share`` of foreground voxels on, so that single noisy voxels do not
    widen the box; ``margin`` voxels are added on each side. An empty mask gives the whole image.
    """
    box = []
    for axis, n in enumerate(mask.shape):
        slabs = np.flatnonzero(mask.mean(tuple(a for a in range(mask.ndim) if a != axis)) > share)
        start, end = (slabs[0], slabs[-1] + 1) if len(slabs) else (0, n)
        box.append((max(int(start) - margin, 0), min(int(end) + margin, n)))
    return tuple(box)


def crop(array: np.ndarray, box: Box) -> np.ndarray:
    """The part of an array (..., *spatial) inside a box."""
    inside: tuple[Any, ...] = (..., *(slice(a, b) for a, b in box))
    return array[inside]
