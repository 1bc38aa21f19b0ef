"""NRRD, MetaImage and other volumes with a geometry, by SimpleITK."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from halfmask.data.atomic import atomic
from halfmask.data.formats.names import suffix
from halfmask.data.formats.reading import Reading
from halfmask.data.volume import Grid

sitk.ProcessObject.SetGlobalWarningDisplay(False)  # else ITK prints to stderr past Python's warnings


def read(path: Path) -> Reading:
    """Read (C, *spatial); the components of a vector image or a fourth axis are channels."""
    image = sitk.ReadImage(str(path))
    array = components_last(image)
    if image.GetDimension() == 4:
        array = np.moveaxis(array[..., 0], 0, -1)  # the last axis, counted from the fastest
    return Reading(turned(array), _grid(image))


def write_like(path: Path, array: np.ndarray, like: Path) -> Path:
    """Write (*spatial) with the geometry of ``like``; its suffix is added to ``path``."""
    ending = {".nhdr": ".nrrd", ".mhd": ".mha"}.get(suffix(like), suffix(like))
    source = header(like)
    return write(path.with_name(path.name + ending), array, flat=source.GetDimension() == 2, source=source)


def header(path: Path) -> sitk.ImageFileReader:
    """The geometry of a file, without its voxels."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    return reader


def components_last(image: sitk.Image) -> np.ndarray:
    """(z, y, x, C) or (y, x, C), also where C is 1."""
    array = sitk.GetArrayFromImage(image)
    return array if image.GetNumberOfComponentsPerPixel() > 1 else array[..., None]


def turned(array: np.ndarray) -> np.ndarray:
    """(z, y, x, C) as (C, x, y, z), and a picture (y, x, C) as (C, 1, y, x)."""
    if array.ndim == 3:
        return np.moveaxis(array, -1, 0)[:, None]
    return np.transpose(array)


def write(path: Path, array: np.ndarray, *, flat: bool, source: sitk.ImageFileReader | None) -> Path:
    """Write (x, y, z), or (1, y, x) if it is flat, at the place of ``source``."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(array[0] if flat else np.transpose(array)))
    if source is not None:
        dims, all_dims = image.GetDimension(), source.GetDimension()
        image.SetSpacing(source.GetSpacing()[:dims])
        image.SetOrigin(source.GetOrigin()[:dims])
        image.SetDirection(np.reshape(source.GetDirection(), (all_dims, all_dims))[:dims, :dims].ravel().tolist())
    with atomic(path) as partial:
        sitk.WriteImage(image, str(partial), useCompression=True)
    return path


def _grid(image: sitk.Image) -> Grid:
    """ITK counts in left, posterior, superior; we in right, anterior, superior."""
    dims, size, spacing = image.GetDimension(), image.GetSize(), image.GetSpacing()
    if dims == 2:
        affine = np.diag([max(spacing), spacing[1], spacing[0], 1.0])  # no axis within the slice is the coarsest
        return Grid((1, size[1], size[0]), affine, scan=False)
    if dims not in (3, 4):
        raise ValueError(f"it has {dims} axes; 2 or 3 and channels are expected")
    if dims == 4 and image.GetNumberOfComponentsPerPixel() > 1:
        raise ValueError("it has a fourth axis and several components; channels are expected as one of them")
    direction = np.reshape(image.GetDirection(), (dims, dims))
    if abs(direction[3:, :3]).any() or abs(direction[:3, 3:]).any():
        raise ValueError("its fourth axis is turned into the other three; channels are expected along it")
    affine = np.eye(4)
    affine[:3, :3] = direction[:3, :3] * spacing[:3]
    affine[:3, 3] = image.GetOrigin()[:3]
    return Grid(tuple(size[:3]), np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine)
