"""What the axes of images allow: which may be mirrored, and which may rotate, scale and bend."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from halfmask.augment.geometry import Geometry

THICK = 3.0
"""Slices this many times thicker than the finest voxel are not interpolated across (nnU-Net's threshold)."""


@dataclass(frozen=True)
class Space:
    """The axes of images, one entry each.

    Attributes:
        spacing: mm.
        flips: may be mirrored; not an axis whose two sides differ in meaning.
    """

    spacing: tuple[float, ...]
    flips: tuple[bool, ...]

    def __post_init__(self) -> None:
        if len(self.spacing) != len(self.flips):
            raise ValueError(f"spacing {self.spacing} and flips {self.flips} should each have one entry per axis")

    @property
    def free(self) -> tuple[bool, ...]:
        """Axes that may rotate, scale and bend: those whose voxels are not thick slices."""
        return tuple(mm < THICK * min(self.spacing) for mm in self.spacing)

    @property
    def turn(self) -> float:
        """The greatest sensible rotation in radians: any where it keeps to one plane whose axes both flip, else 30°."""
        flips = [flip for flip, able in zip(self.flips, self.free, strict=True) if able]
        return math.pi if len(flips) == 2 and all(flips) else math.pi / 6

    def draw(self, like: Tensor, shape: tuple[int, ...] | None = None, **ranges: Any) -> Geometry:
        """A transform for each image (B, C, *spatial) that these axes allow; for ``ranges`` see `Geometry.draw`."""
        return Geometry.draw(like, shape, flips=self.flips, spacing=self.spacing, free=self.free, **ranges)
