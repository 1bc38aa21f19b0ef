"""Masks in another format than their image's, in the image's geometry."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import numpy as np
import SimpleITK as sitk

from halfmask.data.atomic import atomic
from halfmask.data.formats import dicom, nifti, picture
from halfmask.data.formats.names import DICOM, NIFTI, suffix
from halfmask.data.volume import Grid

Kind = Literal["nifti", "nrrd", "mha", "png", "dicom-seg"]
KINDS: tuple[Kind, ...] = get_args(Kind)


def is_own(kind: Kind | None, like: Path) -> bool:
    """Whether a format is the image's own already; then its own header is kept."""
    ending = suffix(like)
    own = {"nifti": NIFTI, "nrrd": (".nrrd", ".nhdr"), "mha": (".mha", ".mhd"), "dicom-seg": DICOM, "png": (".png",)}
    return kind is None or ending in own[kind]


def refuse_unfit(kind: Kind, grid: Grid) -> None:
    """Raise ValueError, in words that do not name the file, if a format cannot hold what lies on a grid."""
    if kind == "png" and 1 not in grid.shape:
        raise ValueError(f"it has {grid.shape} voxels, and PNG holds one slice; choose another format")
    if kind in ("nrrd", "mha"):
        _axes(grid)


def write(path: Path, array: np.ndarray, grid: Grid, kind: Kind) -> Path:
    """Write (*spatial) so that each voxel lies where the grid says."""
    refuse_unfit(kind, grid)
    if kind == "png":
        flat = array[0] if not grid.scan else np.transpose(array.squeeze(grid.shape.index(1)))
        return picture.write_flat(path, flat)
    if kind == "nifti" and grid.scan:
        return nifti.write(path, array, grid)
    path = path.with_name(path.name + {"nifti": ".nii.gz", "nrrd": ".nrrd", "mha": ".mha"}[kind])
    image = _placed(array, grid)
    with atomic(path) as partial:
        sitk.WriteImage(image, str(partial), useCompression=True)
    return path


def _placed(array: np.ndarray, grid: Grid) -> sitk.Image:
    if not grid.scan:
        image = sitk.GetImageFromArray(np.ascontiguousarray(array[0]))
        image.SetSpacing([grid.spacing[2], grid.spacing[1]])
        return image
    direction = _axes(grid)
    image = sitk.GetImageFromArray(np.ascontiguousarray(np.transpose(array)))
    image.SetSpacing(grid.spacing)
    image.SetOrigin((grid.affine[:3, 3] * (-1, -1, 1)).tolist())
    image.SetDirection(direction.ravel().tolist())
    return image


def _axes(grid: Grid) -> np.ndarray:
    """The unit vectors (in columns) along which the voxels lie, to the left, posterior and superior."""
    direction: np.ndarray = np.diag([-1.0, -1.0, 1.0]) @ grid.affine[:3, :3] / grid.spacing
    if abs(direction.T @ direction - np.eye(3)).max() > 1e-3:
        raise ValueError("its axes are not at right angles, which of these formats only NIfTI can hold")
    u, _, v = np.linalg.svd(direction)  # headers in float32 are a little off, and ITK is strict
    return u @ v


def geometry(path: Path) -> Grid | None:
    """The grid by the header alone, where a format tells it so."""
    if suffix(path) in NIFTI:
        return nifti.geometry(path)
    return dicom.geometry(path) if dicom.is_dicom(path) else None
