"""Image files: NIfTI by nibabel (it keeps every header), h5 by h5py, DICOM by pydicom, all else by SimpleITK, some
pictures by Pillow."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import nibabel
import numpy as np

from halfmask.data.formats import dicom, hdf5, itk, kinds, nifti, picture
from halfmask.data.formats.kinds import KINDS, Kind
from halfmask.data.formats.names import DICOM, HDF5, NIFTI, PICTURES, SUFFIXES, VOLUMES, stem, suffix
from halfmask.data.formats.reading import Note, Reading
from halfmask.data.volume import Grid

__all__ = [
    "DICOM", "HDF5", "KINDS", "NIFTI", "PICTURES", "SUFFIXES", "VOLUMES", "Kind", "Note", "Reading",
    "files_of", "is_dicom", "own_label", "read", "read_noted", "refuse_unfit", "stem", "suffix", "uid_of", "write_like",
]  # fmt: skip

_BROKEN = (
    OSError, EOFError, zlib.error, ValueError, RuntimeError, OverflowError, MemoryError,
    nibabel.filebasedimages.ImageFileError, nibabel.spatialimages.HeaderDataError,
)  # fmt: skip


def read(path: Path, *, label: bool = False) -> tuple[np.ndarray, Grid]:
    """Read an image: (C, *spatial) with the file's own numbers, and its grid.

    A fourth axis of a volume, the components of a vector image and the colors of a picture are channels; a
    picture's transparency is not. Of a DICOM series any file stands for all those of it in the file's folder.

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
        if is_dicom(path):
            return dicom.read(path)
        return itk.read(path)
    except _BROKEN as e:
        raise ValueError(f"{path} cannot be read: {_reason(e)}") from e


def own_label(path: Path) -> Path | None:
    """The image's file itself if it holds the image's label too, else None."""
    try:
        return path if suffix(path) in HDF5 and hdf5.has_label(path) else None
    except _BROKEN:  # reading the image will tell
        return None


def files_of(path: Path) -> tuple[Path, ...]:
    """All files that reading an image reads: those of its DICOM series, or the one.

    Raises:
        ValueError: naming the file and why its series cannot be told.
    """
    try:
        return dicom.files_of(path) if is_dicom(path) else (path,)
    except _BROKEN as e:
        raise ValueError(f"{path} cannot be read: {_reason(e)}") from e


def uid_of(path: Path) -> str:
    """What a file is called within itself, however its name is: of DICOM files; else nothing."""
    return dicom.uid_of(path) if is_dicom(path) else ""


def write_like(
    path: Path, array: np.ndarray, like: Path, *, names: Mapping[int, str] | None = None, kind: Kind | None = None
) -> Path:
    """Write an array (*spatial) in the format, geometry and header of the image ``like``, atomically.

    Whole numbers keep their dtype; float goes out as float32. A lossy or 8-bit picture format cannot
    hold that: then it becomes PNG (whole numbers) or TIFF (float, or many pages). A format of two files
    becomes its sister of one, which can be written atomically. Of a DICOM series whole numbers become a segmentation
    object, which holds 0 or more classes; float, and a mask like such an object, become NIfTI.

    Args:
        names: of classes, by their numbers, where a format tells them: DICOM.
        kind: another format, in the image's geometry.

    Returns: the path written, ``path`` with the fitting suffix.
    """
    if np.issubdtype(array.dtype, np.floating):
        array = array.astype(np.float32, copy=False)
    if is_dicom(like) and kind in (None, "dicom-seg"):
        with _naming(like):
            if np.issubdtype(array.dtype, np.integer) and not dicom.is_segmentation(like):
                return dicom.write(path, array, like, names)
        kind = "nifti"
    elif kind == "dicom-seg":
        refuse_unfit(like, kind)
    if not kinds.is_own(kind, like):
        assert kind is not None
        with _naming(like):
            return kinds.write(path, array, _geometry(like), kind)
    ending = suffix(like)
    if ending in NIFTI:
        return nifti.write_like(path, array, like)
    if ending in HDF5:
        return hdf5.write_like(path, array, like)
    return picture.write_like(path, array, like) if ending in PICTURES else itk.write_like(path, array, like)


def refuse_unfit(like: Path, kind: Kind | None) -> None:
    """Raise ValueError if masks of an image cannot be written in a format, before there are any.

    An image that cannot be read passes: reading it will tell.
    """
    with _naming(like):
        if is_dicom(like) and kind in (None, "dicom-seg"):
            dicom.refuse_unfit(like)
        elif kind == "dicom-seg":
            raise ValueError("it is no DICOM image, so a DICOM segmentation has nothing to refer to")
        elif kind is not None and not kinds.is_own(kind, like):
            try:
                grid = _geometry(like)
            except _BROKEN:
                return
            kinds.refuse_unfit(kind, grid)


def _geometry(path: Path) -> Grid:
    grid = kinds.geometry(path)
    return read(path)[1] if grid is None else grid


def is_dicom(path: Path) -> bool:
    """By how the file begins, unless its suffix is another format's."""
    return suffix(path) in ("", *DICOM) and (suffix(path) in DICOM or dicom.is_dicom(path))


@contextlib.contextmanager
def _naming(like: Path) -> Iterator[None]:
    try:
        yield
    except _BROKEN as e:
        told = str(e) if str(like) in str(e) else f"{like}: {e}"
        raise ValueError(told) from e


def _reason(e: BaseException) -> str:
    if isinstance(e, FileNotFoundError) or "does not exist" in str(e):  # ITK has no type for it
        return "there is no such file"
    if isinstance(e, EOFError):
        return "the file ends too early (a copy that broke off?)"
    lines = [line.strip() for line in str(e).splitlines() if line.strip()]
    return lines[-1].removeprefix("sitk::ERROR: ") if lines else type(e).__name__
