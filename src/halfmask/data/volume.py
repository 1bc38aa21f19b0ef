"""Arrays of voxels and where they lie."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from nibabel import orientations
from scipy import ndimage

COARSE = 3.0
"""From this ratio of spacings on, an axis counts as coarse (thick slices), as in nnU-Net."""


@dataclass(frozen=True)
class Grid:
    """Where the voxels of an image lie.

    A picture is a volume of one slice: shape (1, height, width).

    Attributes:
        shape: number of voxels along each of the three axes.
        affine: (4, 4), from voxel index to millimeters; axes to right, anterior, superior for scans.
        scan: False for a picture, whose axes have no anatomical meaning.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray
    scan: bool = True

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance between voxel centers along each axis, in mm."""
        return tuple(float(s) for s in np.linalg.norm(self.affine[:3, :3], axis=0))  # type: ignore[return-value]

    def apart(self, other: Grid) -> float:
        """The largest distance in mm between the same corners of two grids of one shape."""
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape], indexing="ij")).reshape(3, -1)
        ours, theirs = (g.affine[:3, :3] @ corners + g.affine[:3, 3:] for g in (self, other))
        return float(np.linalg.norm(ours - theirs, axis=0).max())

    def oriented(self, codes: str | None) -> Grid:
        """The grid with its axes running to where ``codes`` says: "SPL" is superior, posterior, left."""
        if codes is None or not self.scan:
            return self
        turn = _turn(self.affine, codes)
        shape = tuple(self.shape[i] for i in np.argsort(turn[:, 0]))
        return Grid(shape, self.affine @ orientations.inv_ornt_aff(turn, self.shape))  # type: ignore[arg-type]

    def orient(self, array: np.ndarray, codes: str | None) -> np.ndarray:
        """Turn an array (..., *shape) of this grid so that its axes run as ``codes`` says."""
        if codes is None or not self.scan:
            return array
        return _turned(array, _turn(self.affine, codes))

    def restore(self, array: np.ndarray, codes: str | None) -> np.ndarray:
        """Undo `orient`: from an array with axes as ``codes`` back to this grid's own."""
        if codes is None or not self.scan:
            return array
        back = orientations.ornt_transform(
            orientations.axcodes2ornt(tuple(codes)), orientations.io_orientation(self.affine)
        )
        return _turned(array, back)


def _turn(affine: np.ndarray, codes: str) -> np.ndarray:
    return orientations.ornt_transform(orientations.io_orientation(affine), orientations.axcodes2ornt(tuple(codes)))


def _turned(array: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """`nibabel.apply_orientation` on the last three axes."""
    return np.moveaxis(orientations.apply_orientation(np.moveaxis(array, range(-3, 0), range(3)), turn),
                       range(3), range(-3, 0))  # fmt: skip


def coarse_axis(*spacings: Sequence[float]) -> int | None:
    """The axis whose spacing is `COARSE` times the finest, in any of the spacings given, else None."""
    for spacing in spacings:
        if max(spacing) / min(spacing) >= COARSE:
            return int(np.argmax(spacing))
    return None


@functools.lru_cache(maxsize=64)
def _axis_matrix(n: int, m: int, order: int) -> np.ndarray:
    """The (m, n) matrix of SciPy's spline zoom from n to m samples, borders aligned."""
    if n == 1:
        return np.ones((m, 1), np.float32)
    zoomed: np.ndarray = ndimage.zoom(np.eye(n), (m / n, 1), order=order, mode="nearest", grid_mode=True)  # type: ignore[call-overload]
    return zoomed.astype(np.float32)


def resample(array: np.ndarray, shape: Sequence[int], *, order: int, coarse: int | None) -> np.ndarray:
    """Resample (..., *spatial) to ``shape`` by splines, one axis after the other.

    Equal to `scipy.ndimage.zoom` with ``grid_mode=True`` (the outer borders of the images coincide), but as
    three matrix products, or PyTorch's for linear ones, several times faster. Nothing is smoothed when
    sampling down (as in nnU-Net). Along a coarse axis the nearest slice is taken: splines across thick
    slices invent edges.

    Args:
        order: of the spline, 0 nearest, 1 linear, 3 cubic.
        coarse: the axis (0–2) to treat by nearest slice, or None.

    Returns: float32 (..., *shape).
    """
    array = np.asarray(array, np.float32)
    if coarse is not None and array.shape[coarse - 3] != shape[coarse]:
        nearest = _axis_matrix(array.shape[coarse - 3], shape[coarse], 0).argmax(1)
        array = array.take(nearest, coarse - 3)
    if order == 1:
        lines = torch.from_numpy(array.reshape(1, -1, *array.shape[-3:]))
        zoomed = F.interpolate(lines, tuple(shape), mode="trilinear", align_corners=False)
        return zoomed.numpy().reshape(*array.shape[:-3], *shape)
    for axis, m in enumerate(shape):
        if array.shape[axis - 3] != m:
            matrix = _axis_matrix(array.shape[axis - 3], m, order)
            array = np.moveaxis(np.tensordot(matrix, array, (1, array.ndim - 3 + axis)), 0, axis - 3)
    return np.ascontiguousarray(array)


def resample_label(label: np.ndarray, shape: Sequence[int], *, coarse: int | None) -> np.ndarray:
    """Resample class numbers (*spatial): each class linearly, then the largest. The ignore value is a class."""
    if label.shape == tuple(shape):
        return label
    best = np.full(shape, -1, np.float32)
    result = np.zeros(shape, label.dtype)
    for value in np.unique(label):
        share = resample(label == value, shape, order=1, coarse=coarse)
        larger = share > best
        result[larger], best[larger] = value, share[larger]
    return result
