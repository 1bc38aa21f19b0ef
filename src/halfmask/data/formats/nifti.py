"""NIfTI files, by nibabel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from halfmask.data.atomic import atomic
from halfmask.data.formats.names import suffix
from halfmask.data.formats.reading import Reading
from halfmask.data.volume import Grid


def read(path: Path) -> Reading:
    """Read (C, *spatial); a fourth axis or RGB voxels are channels."""
    image: Any = nibabel.load(path)
    array = np.asanyarray(image.dataobj)
    if array.dtype.names:  # RGB as a structured type
        array = np.stack([array[name] for name in array.dtype.names], -1)
    if array.dtype.kind not in "iuf":
        raise ValueError(f"its voxels are {array.dtype}, not real numbers")
    if array.dtype == np.float64:  # what a scaled file gives
        array = array.astype(np.float32)
    array = array.reshape((*array.shape, 1)) if array.ndim == 2 else array
    array = array.reshape((*array.shape[:3], -1))
    return Reading(np.moveaxis(array, -1, 0), _grid(image.shape, image.affine))


def write_like(path: Path, array: np.ndarray, like: Path) -> Path:
    """Write (*spatial) with the header of ``like``; its suffix is added to ``path``."""
    path = path.with_name(path.name + suffix(like))
    source: Any = nibabel.load(like)
    mask = source.__class__(array.reshape(source.shape[:3]), source.affine, source.header)
    mask.header.set_data_dtype(array.dtype)
    mask.header.set_slope_inter(1, 0)
    mask.header["cal_max"] = mask.header["cal_min"] = 0  # the display range was the image's
    with atomic(path) as partial:
        nibabel.save(mask, partial)
    return path


def geometry(path: Path) -> Grid:
    """The grid, without the voxels."""
    image: Any = nibabel.load(path)
    return _grid(image.shape, image.affine)


def write(path: Path, array: np.ndarray, grid: Grid) -> Path:
    """Write (*spatial) as .nii.gz at the place of a grid."""
    path = path.with_name(path.name + ".nii.gz")
    image = nibabel.Nifti1Image(array, grid.affine)
    image.set_sform(grid.affine, code=1)
    image.set_qform(grid.affine, code=1)
    image.header.set_xyzt_units("mm")
    with atomic(path) as partial:
        nibabel.save(image, partial)
    return path


def _grid(shape: tuple[int, ...], affine: np.ndarray) -> Grid:
    if len(shape) < 2 or 0 in shape:
        raise ValueError(f"its shape {shape} is no image's")
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise ValueError("its affine cannot be inverted")
    depth = shape[2] if len(shape) > 2 else 1
    return Grid((shape[0], shape[1], depth), np.asarray(affine, float))
