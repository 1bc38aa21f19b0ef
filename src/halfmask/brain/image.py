"""Scans as SimpleITK has them: in millimeters to left, posterior and superior."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from halfmask.data.formats import nifti, read
from halfmask.data.index import Case
from halfmask.data.volume import Grid

TURN = np.diag([-1.0, -1.0, 1.0])
"""Between our axes (right, anterior, superior) and ITK's."""


def as_image(array: np.ndarray, grid: Grid) -> sitk.Image:
    """An array (x, y, z) of a scan as an image; numbers as they are, float64 as float32.

    Raises:
        ValueError: the grid is sheared, which ITK cannot express.
    """
    spacing = np.array(grid.spacing)
    direction = TURN @ grid.affine[:3, :3] / spacing
    if abs(direction.T @ direction - np.eye(3)).max() > 1e-3:
        raise ValueError(
            "its axes are not at right angles (a tilted gantry?); resample it to a grid that is not tilted"
        )
    u, _, v = np.linalg.svd(direction)  # headers in float32 are a little off, and ITK is strict
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    image.SetSpacing(spacing.tolist())
    image.SetOrigin((TURN @ grid.affine[:3, 3]).tolist())
    image.SetDirection((u @ v).ravel().tolist())
    return sitk.Cast(image, sitk.sitkFloat32) if image.GetPixelID() == sitk.sitkFloat64 else image


def as_array(image: sitk.Image) -> np.ndarray:
    """(x, y, z)."""
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0)


def grid_of(image: sitk.Image) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = TURN @ np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = TURN @ np.array(image.GetOrigin())
    return Grid(image.GetSize(), affine)


def like(array: np.ndarray, image: sitk.Image) -> sitk.Image:
    """An array (x, y, z) in the place of an image."""
    made = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    made.CopyInformation(image)
    return made


def write_image(path: Path, image: sitk.Image) -> None:
    """Write CASE.nii.gz atomically. ITK's own writer says nothing when the disk is full."""
    nifti.write(path.with_name(path.name.removesuffix(".nii.gz")), as_array(image), grid_of(image))


def modalities(case: Case, names: Sequence[str]) -> dict[str, sitk.Image]:
    """The images of a case by channel, float32, each on its own grid.

    Args:
        names: of the channels; if there are none they are numbered.

    Raises:
        ValueError: naming the case and the file.
    """
    found = []
    for path in case.images:
        try:
            array, grid = read(path)
        except ValueError as e:
            raise ValueError(f"case {case.name!r}: {e}") from e
        if not grid.scan or 1 in grid.shape:
            raise ValueError(f"case {case.name!r}: {path} is a picture or a single slice; a scan of a head is expected")
        try:
            found += [as_image(channel.astype(np.float32), grid) for channel in array]
        except ValueError as e:
            raise ValueError(f"case {case.name!r}: {path}: {e}") from e
        if not np.isfinite(array).all():
            raise ValueError(f"case {case.name!r}: {path} has voxels that are NaN or infinite; replace them")
    names = names or [f"channel{i}" for i in range(len(found))]
    if len(found) != len(names):
        raise ValueError(
            f"case {case.name!r}: has {len(found)} images, {len(names)} are expected ({', '.join(names)}); "
            "add what is missing or remove the case"
        )
    return dict(zip(names, found, strict=True))


def resampled(
    image: sitk.Image,
    onto: sitk.Image,
    transform: sitk.Transform | None = None,
    *,
    interpolation: int = sitk.sitkLinear,
    outside: float = 0.0,
) -> sitk.Image:
    """An image on another's grid.

    Args:
        transform: from points of ``onto`` to points of ``image``.
    """
    return sitk.Resample(image, onto, transform or sitk.Transform(3, sitk.sitkIdentity), interpolation, outside)


def isotropic(image: sitk.Image, spacing: float) -> sitk.Image:
    """The same field of view with cubic voxels, axes to left, posterior and superior."""
    image = sitk.DICOMOrient(image, "LPS")
    shape = [max(1, round(n * s / spacing)) for n, s in zip(image.GetSize(), image.GetSpacing(), strict=True)]
    # The outer borders coincide, not the centers of the first voxels.
    shift = [(spacing - s) / 2 for s in image.GetSpacing()]
    origin = image.TransformContinuousIndexToPhysicalPoint(
        [d / s for d, s in zip(shift, image.GetSpacing(), strict=True)]
    )
    grid = sitk.Image(shape, sitk.sitkFloat32)
    grid.SetSpacing([spacing] * 3)
    grid.SetOrigin(origin)
    grid.SetDirection(image.GetDirection())
    return sitk.Resample(image, grid, sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkFloat32, True)


def resampled_label(array: np.ndarray, grid: Grid, onto: sitk.Image, transform: sitk.Transform) -> np.ndarray:
    """Whole numbers (x, y, z) on another image's grid, the nearest voxel's, 0 outside.

    Linear shares of each class would be smoother, and would lose most of a lesion of a voxel or two.

    Args:
        transform: from points of ``onto`` to points of the label.
    """
    label = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    label.CopyInformation(as_image(np.zeros(array.shape, np.uint8), grid))
    return as_array(resampled(label, onto, transform, interpolation=sitk.sitkNearestNeighbor))
