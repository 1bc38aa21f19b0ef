"""Ways to lay out the axes of an image: exchanged and reversed, every voxel keeping its value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, permutations

from torch import Tensor


@dataclass(frozen=True)
class Orientation:
    """Axes exchanged, then some reversed.

    Attributes:
        axes: which of the image's spatial axes each becomes, e.g. (1, 2, 0).
        flipped: which of the result's are reversed.
    """

    axes: tuple[int, ...]
    flipped: tuple[int, ...] = ()

    def __call__(self, x: Tensor) -> Tensor:
        """Of images, labels or probabilities, whose last axes are the spatial ones."""
        first = x.ndim - len(self.axes)
        turned = x.permute(*range(first), *(first + axis for axis in self.axes))
        return turned.flip([first + axis for axis in self.flipped])

    def inverse(self, x: Tensor) -> Tensor:
        """What `__call__` was given, of what it gave."""
        first = x.ndim - len(self.axes)
        back = sorted(range(len(self.axes)), key=self.axes.__getitem__)
        turned = x.flip([first + axis for axis in self.flipped])
        return turned.permute(*range(first), *(first + axis for axis in back))

    @property
    def mirrored(self) -> bool:
        """Whether it is no rotation."""
        exchanged = sum(a > b for a, b in combinations(self.axes, 2))
        return (exchanged + len(self.flipped)) % 2 == 1


def orientations(shape: Sequence[int], free: Sequence[bool]) -> list[Orientation]:
    """All that leave images of this shape in it, as they are first, rotations before mirrorings.

    A square comes as it is, then by 90, 270 and 180°; a cube first in its three planes; sides that all differ are
    reversed alone.

    Args:
        free: axes whose voxels are no thick slices, see `Space.free`; they are not exchanged for those that are.
    """
    axes, kinds = range(len(shape)), list(zip(shape, free, strict=True))
    alike = [order for order in permutations(axes) if [kinds[axis] for axis in order] == kinds]
    found = [
        Orientation(order, flip) for order in alike for n in range(len(axes) + 1) for flip in combinations(axes, n)
    ]
    return sorted(found, key=lambda each: (each.mirrored, len(each.flipped)))
