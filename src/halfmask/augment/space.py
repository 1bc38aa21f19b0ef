"""What the axes of images allow: which may be mirrored, and which may rotate, scale and bend."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from halfmask.augment.draw import uniform
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

    def crop(self, like: Tensor, shape: tuple[int, ...] | None = None, *, share: tuple[float, float]) -> Geometry:
        """A box at any place within each image (B, C, *spatial), brought to one shape, and perhaps mirrored.

        The "random resized crop" of contrastive learning, but for its change of aspect ratio, which no scanner makes.

        Args:
            shape: of what comes out; the image's if None.
            share: range of the box's share of the image, area or volume. Along axes that do not scale (thick slices)
                the box is as long as ``shape``.
        """
        source, shape = tuple(like.shape[2:]), tuple(like.shape[2:]) if shape is None else shape
        sides, full = torch.tensor(shape).double(), torch.tensor(source).double()
        able = torch.tensor(self.free)
        part = uniform((len(like), 1), *share).double() ** (1 / sum(self.free))
        box = torch.where(able, part * full, sides)
        flip = (torch.rand(len(like), len(shape)) < 0.5) & torch.tensor(self.flips)
        shift = (torch.rand(len(like), len(shape)) - 0.5) * (full - box).clamp(min=0)
        shift = torch.where(able, shift, shift.round())
        planes = len(shape) * (len(shape) - 1) // 2
        angle = torch.zeros(len(like), planes)
        return Geometry.of(source, shape, angle=angle, scale=sides / box, flip=flip, shift=shift, device=like.device)
