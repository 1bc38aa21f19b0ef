"""Image files: NIfTI through nibabel (it keeps every header), all else through SimpleITK."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import SimpleITK as sitk

from halfmask.data.atomic import atomic
from halfmask.data.volume import Grid

NIFTI = (".nii.gz", ".nii")
VOLUMES = (".nrrd", ".nhdr", ".mha", ".mhd", ".gipl.gz", ".gipl", ".vtk", ".mrc")
PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
SUFFIXES = NIFTI + VOLUMES + PICTURES

sitk.ProcessObject.SetGlobalWarningDisplay(False)  # else ITK prints to stderr past Python's warnings
_BROKEN = (
    OSError, EOFError, zlib.error, ValueError, RuntimeError, OverflowError, MemoryError,
    nibabel.filebasedimages.ImageFileError, nibabel.spatialimages.HeaderDataError,
)  # fmt: skip


def suffix(path: Path) -> str:
    """The suffix by which an image file is known, ".nii.gz" in one piece; "" if it is no image file."""
    name = path.name.lower()
    return next((s for s in SUFFIXES if name.endswith(s)), "")


def stem(path: Path) -> str:
    """The file's name without that suffix."""
    return path.name[: len(path.name) - len(suffix(path))]


def read(path: Path) -> tuple[np.ndarray, Grid]:
    """Read an image: (C, *spatial) with the file's own numbers, and its grid.

    A fourth axis of a NIfTI file and the components of a color picture are channels.

    Raises:
        ValueError: naming the file and why it cannot be read (not an image, truncated, …).
    """
    try:
        return _read_nifti(path) if suffix(path) in NIFTI else _read_itk(path)
    except _BROKEN as e:
        raise ValueError(f"{path} cannot be read: {_reason(e)}") from e


def write_like(path: Path, array: np.ndarray, like: Path) -> Path:
    """Write an array (*spatial) in the format, geometry and header of the image ``like``, atomically.

    Whole numbers keep their dtype; float goes out as float32. A lossy or 8-bit picture format cannot
    hold that: then it becomes PNG (whole numbers) or TIFF (float, or many pages). A format of two files
    becomes its sister of one, which can be written atomically.

    Returns: the path written, ``path`` with the fitting suffix.
    """
    if np.issubdtype(array.dtype, np.floating):
        array = array.astype(np.float32, copy=False)
    ending = {".nhdr": ".nrrd", ".mhd": ".mha"}.get(suffix(like), suffix(like))
    if ending in NIFTI:
        path = path.with_name(path.name + ending)
        source: Any = nibabel.load(like)
        mask = source.__class__(array.reshape(source.shape[:3]), source.affine, source.header)
        mask.header.set_data_dtype(array.dtype)
        mask.header.set_slope_inter(1, 0)
        mask.header["cal_max"] = mask.header["cal_min"] = 0  # the display range was the image's
        with atomic(path) as partial:
            nibabel.save(mask, partial)
        return path
    reader = _itk_header(like)
    flat = reader.GetDimension() == 2
    if ending in PICTURES:
        if np.issubdtype(array.dtype, np.integer) and array.dtype != np.uint8:
            array = array.astype(np.uint16)  # the only other one that PNG has
        ending = ".png" if flat and np.issubdtype(array.dtype, np.integer) else ".tiff"
    path = path.with_name(path.name + ending)
    image = sitk.GetImageFromArray(np.ascontiguousarray(array[0] if flat else np.transpose(array)))
    image.SetSpacing(reader.GetSpacing())
    image.SetOrigin(reader.GetOrigin())
    image.SetDirection(reader.GetDirection())
    with atomic(path) as partial:
        sitk.WriteImage(image, str(partial), useCompression=True)
    return path


def _read_nifti(path: Path) -> tuple[np.ndarray, Grid]:
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
    return np.moveaxis(array, -1, 0), _nifti_grid(image.shape, image.affine)


def _nifti_grid(shape: tuple[int, ...], affine: np.ndarray) -> Grid:
    if len(shape) < 2 or 0 in shape:
        raise ValueError(f"its shape {shape} is no image's")
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise ValueError("its affine cannot be inverted")
    depth = shape[2] if len(shape) > 2 else 1
    return Grid((shape[0], shape[1], depth), np.asarray(affine, float))


def _itk_header(path: Path) -> sitk.ImageFileReader:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    return reader


def _read_itk(path: Path) -> tuple[np.ndarray, Grid]:
    image = sitk.ReadImage(str(path))
    array = sitk.GetArrayFromImage(image)  # (z, y, x) or (y, x), components last
    array = np.moveaxis(array, -1, 0) if image.GetNumberOfComponentsPerPixel() > 1 else array[None]
    grid = _itk_grid(image, path)
    return (np.moveaxis(array, range(1, 4), range(3, 0, -1)) if grid.scan else array[:, None]), grid


def _itk_grid(image: sitk.Image | sitk.ImageFileReader, path: Path) -> Grid:
    """ITK counts in left, posterior, superior; we in right, anterior, superior.

    What a picture format says of its size is that of its print (72 dots per inch), so its pixels count as 1 mm.
    """
    size = image.GetSize()
    spacing = (1.0,) * len(size) if suffix(path) in PICTURES else image.GetSpacing()
    if image.GetDimension() == 2:
        affine = np.diag([max(spacing), spacing[1], spacing[0], 1.0])  # no axis within the slice is the coarsest
        return Grid((1, size[1], size[0]), affine, scan=False)
    if image.GetDimension() != 3:
        raise ValueError(f"it has {image.GetDimension()} axes; 2 or 3 and channels are expected")
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * spacing
    affine[:3, 3] = image.GetOrigin()
    return Grid(tuple(size), np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine)


def _reason(e: BaseException) -> str:
    if isinstance(e, FileNotFoundError) or "does not exist" in str(e):  # ITK has no type for it
        return "there is no such file"
    if isinstance(e, EOFError):
        return "the file ends too early (a copy that broke off?)"
    lines = [line.strip() for line in str(e).splitlines() if line.strip()]
    return lines[-1].removeprefix("sitk::ERROR: ") if lines else type(e).__name__
