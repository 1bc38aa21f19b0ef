"""Which planes of a case to show, and where in them to look closer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from halfmask.data.volume import Grid

SIDE = 480
"""Pixels of the longer side of a drawn plane."""
SEEN_FROM = "RAS"
AXES = ("sagittal", "coronal", "axial")
"""The planes across the axes of `SEEN_FROM`."""
MARGIN = 0.25
"""Around what is looked at closer, as a share of its size."""


@dataclass(frozen=True)
class Plane:
    """A plane across one axis of a volume, or a picture.

    Attributes:
        name: "axial", "coronal", "sagittal", or "picture".
        axis, index: where it cuts the (oriented) volume; count: how many there are.
        spacing: mm between its rows and between its columns.
        turned: the volume is a scan, to be shown as the field does.
    """

    name: str
    axis: int
    index: int
    count: int
    spacing: tuple[float, float]
    turned: bool

    def of(self, volume: np.ndarray) -> np.ndarray:
        """The plane (h, w, …) of a volume (*spatial, …) whose axes run as `SEEN_FROM` says.

        Superior or anterior is up; the patient's right is on the left, and anterior is left in the sagittal plane.
        """
        flat = volume.take(self.index, self.axis)
        return np.swapaxes(flat, 0, 1)[::-1, ::-1] if self.turned else flat


def planes(grid: Grid, weights: Sequence[np.ndarray]) -> list[Plane]:
    """For each axis the plane that holds most of the first of ``weights`` (*spatial) that is anything but empty.

    Args:
        grid: oriented as `SEEN_FROM`; a picture has one plane, and so has a scan of one slice.
        weights: e.g. the errors, else the structures; if all are empty, the middle is shown.
    """
    axes = [0] if not grid.scan else [a for a in (2, 1, 0) if 1 not in grid.shape or grid.shape[a] == 1]
    weight = next((w for w in weights if w.any()), None)
    found = []
    for axis in axes or [2, 1, 0]:
        others = tuple(a for a in range(3) if a != axis)
        index = grid.shape[axis] // 2 if weight is None else int((weight != 0).sum(others).argmax())
        rows, columns = (grid.spacing[a] for a in (others[::-1] if grid.scan else others))
        name = AXES[axis] if grid.scan else "picture"
        found.append(Plane(name, axis, index, grid.shape[axis], (rows, columns), grid.scan))
    return found


def closer(inside: np.ndarray, spacing: tuple[float, float]) -> tuple[float, float, float, float]:
    """Where to look closer in a plane (h, w): x, y, width and height in mm; all of it if nothing is ``inside``.

    At least a quarter of the plane's longer side, so that a speck is seen with what lies around it.
    """
    size = np.array(inside.shape) * spacing
    if not inside.any():
        return 0.0, 0.0, float(size[1]), float(size[0])
    where = np.argwhere(inside)
    low, high = where.min(0) * spacing, (where.max(0) + 1) * spacing
    extent = np.minimum(size, np.maximum((high - low) * (1 + 2 * MARGIN), size.max() / 4))
    start = np.clip((low + high - extent) / 2, 0, size - extent)
    return float(start[1]), float(start[0]), float(extent[1]), float(extent[0])


def drawn_shape(shape: Sequence[int], spacing: tuple[float, float]) -> tuple[int, int]:
    """Pixels (h, w) of a plane at its true aspect, the longer side `SIDE`."""
    size = np.array(shape[:2]) * spacing
    h, w = np.maximum(1, np.rint(SIDE * size / size.max())).astype(int)
    return int(h), int(w)


def stretched(plane: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A plane (h, w) with each pixel the nearest of those before."""
    at = [np.minimum((np.arange(m) + 0.5) * n // m, n - 1).astype(int) for n, m in zip(plane.shape, shape, strict=True)]
    return plane[np.ix_(*at)]
