"""Rotations of images by quarters of a turn, every voxel keeping its value, for those who are to tell them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import prod
from typing import Literal

import torch
from torch import Tensor

from halfmask.augment.draw import to_device
from halfmask.augment.orientation import Orientation, orientations

ALIKE = 1.25
"""Axes whose spacings differ by more are not exchanged: stretched anatomy alone would give a quarter turn away."""
LEAST = 0.25
"""The least share of the patch's voxels that a square or cube within it is to have."""

Which = Literal["plane", "planes", "all"]
"""The rotations of one plane (4), of each of three planes (10 that differ), or all that a cube has (24)."""


@dataclass(frozen=True)
class Turns:
    """Rotations that leave the shape of a box about an image's center.

    Attributes:
        shape: of the box.
        each: its rotations, as it is first.
    """

    shape: tuple[int, ...]
    each: tuple[Orientation, ...]

    @classmethod
    def of(
        cls,
        patch: Sequence[int],
        spacing: Sequence[float],
        which: Which = "plane",
        takes: Callable[[Sequence[int]], bool] = lambda shape: True,
    ) -> Turns:
        """The rotations of as many kinds as images of this patch allow; halves of a turn are always among them.

        Quarters need sides of one length, so that the box is the largest square or cube that a network ``takes``,
        if it is no less than `LEAST` of the patch. Of the planes the one of the last two axes comes first.
        """
        dims, which = len(patch), "plane" if len(patch) == 2 else which
        alike = lambda a, b: max(spacing[a], spacing[b]) <= ALIKE * min(spacing[a], spacing[b])
        shape, plane = tuple(patch), {dims - 2, dims - 1}
        for group in _groups(dims, largest=2 if which == "plane" else dims):
            box = _box(tuple(patch), group, takes) if all(alike(*pair) for pair in combinations(group, 2)) else None
            if box:
                shape, plane = box, set(group)
                break

        def wanted(turn: Orientation) -> bool:
            still = [axis for axis in range(dims) if turn.axes[axis] == axis and axis not in turn.flipped]
            kinds = {"plane": set(still) | plane == set(range(dims)), "planes": bool(still), "all": True}
            return not turn.mirrored and kinds[which] and all(map(alike, range(dims), turn.axes))

        return cls(shape, tuple(filter(wanted, orientations(shape, (True,) * dims))))

    def __len__(self) -> int:
        return len(self.each)

    def draw(self, count: int, copies: int = 1) -> Tensor:
        """Numbers of rotations (copies, count), int64, on the CPU: different ones for the copies of each image."""
        return torch.rand(count, len(self)).argsort(1)[:, :copies].T

    def __call__(self, x: Tensor, which: Tensor) -> Tensor:
        """The box of each image (B, C, *spatial), turned: (B, C, *shape).

        Args:
            which: (B,), on the CPU.
        """
        for axis, side in enumerate(self.shape, start=2):
            x = x.narrow(axis, (x.shape[axis] - side) // 2, side)
        out = x.new_empty(*x.shape[:2], *self.shape)
        for number in which.unique().tolist():
            rows = to_device((which == number).nonzero()[:, 0], x.device)
            out.index_copy_(0, rows, self.each[number](x[rows]))
        return out


def _groups(dims: int, largest: int) -> Iterator[tuple[int, ...]]:
    """Sets of axes that may be exchanged, the largest first, and of those the last axes'."""
    for size in range(largest, 1, -1):
        yield from sorted(combinations(range(dims), size), reverse=True)


def _box(
    patch: tuple[int, ...], group: tuple[int, ...], takes: Callable[[Sequence[int]], bool]
) -> tuple[int, ...] | None:
    """The largest shape within ``patch`` whose sides along these axes are one."""
    for side in range(min(patch[axis] for axis in group), 0, -1):
        shape = tuple(side if axis in group else n for axis, n in enumerate(patch))
        if prod(shape) < LEAST * prod(patch):
            return None
        if takes(shape):
            return shape
    return None
