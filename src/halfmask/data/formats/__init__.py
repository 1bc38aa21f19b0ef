"""Image files: NIfTI by nibabel (it keeps every header), h5 by h5py, all else by SimpleITK, some pictures by Pillow."""

from __future__ import annotations

import zlib
from pathlib import Path

import nibabel
import numpy as np

from halfmask.data.formats import hdf5, itk, nifti, picture
from halfmask.data.formats.names import HDF5, NIFTI, PICTURES, SUFFIXES, VOLUMES, stem, suffix
from halfmask.data.formats.reading import Note, Reading
from halfmask.data.volume import Grid

__all__ = [
    "HDF5", "NIFTI", "PICTURES", "SUFFIXES", "VOLUMES", "Note", "Reading",
    "own_label", "read", "read_noted", "stem", "suffix", "write_like",
]  # fmt: skip

_BROKEN = (
    OSError, EOFError, zlib.error, ValueError, RuntimeError, OverflowError, MemoryError,
    nibabel.filebasedimages.ImageFileError, nibabel.spatialimages.HeaderDataError,
)  # fmt: skip


def read(path: Path, *, label: bool = False) -> tuple[np.ndarray, Grid]:
    """Read an image: (C, *spatial) with the file's own numbers, and its grid.

    A fourth axis of a volume, the components of a vector image and the colors of a picture are channels; a
    picture's transparency is not.

    Args:
        label: read what marks classes: of an h5 file the label that lies beside the image, of a palette picture
            the indices and not their colors, of a gray picture stored as color one channel.

    Raises:
        ValueError: naming the file and why it cannot be read (not an image, truncated, …).
    """
    array, grid, _ = read_noted(path, label=label)
    return array, grid


def read_noted(path: Path, *, label: bool = False) -> Reading:
    """`read`, with notes of what was left out or taken for granted."""
    kind = suffix(path)
    try:
        if kind in NIFTI:
            return nifti.read(path)
        if kind in HDF5:
            return hdf5.read(path, label=label)
        if kind in PICTURES:
            return picture.read(path, label=label)
        return itk.read(path)
    except _BROKEN as e:
        raise ValueError(f"{path} cannot be read: {_reason(e)}") from e


def own_label(path: Path) -> Path | None:
    """The image's file itself if it holds the image's label too, else None."""
    try:
        return path if suffix(path) in HDF5 and hdf5.has_label(path) else None
    except _BROKEN:  # reading the image will tell
        return None


def write_like(path: Path, array: np.ndarray, like: Path) -> Path:
    """Write an array (*spatial) in the format, geometry and header of the image ``like``, atomically.

    Whole numbers keep their dtype; float goes out as float32. A lossy or 8-bit picture format cannot
    hold that: then it becomes PNG (whole numbers) or TIFF (float, or many pages). A format of two files
    becomes its sister of one, which can be written atomically.

    Returns: the path written, ``path`` with the fitting suffix.
    """
    if np.issubdtype(array.dtype, np.floating):
        array = array.astype(np.float32, copy=False)
    kind = suffix(like)
    if kind in NIFTI:
        return nifti.write_like(path, array, like)
    if kind in HDF5:
        return hdf5.write_like(path, array, like)
    return picture.write_like(path, array, like) if kind in PICTURES else itk.write_like(path, array, like)


def _reason(e: BaseException) -> str:
    if isinstance(e, FileNotFoundError) or "does not exist" in str(e):  # ITK has no type for it
        return "there is no such file"
    if isinstance(e, EOFError):
        return "the file ends too early (a copy that broke off?)"
    lines = [line.strip() for line in str(e).splitlines() if line.strip()]
    return lines[-1].removeprefix("sitk::ERROR: ") if lines else type(e).__name__
