"""DICOM: series of files as volumes, segmentation objects (SEG) in and out."""

from __future__ import annotations

from pathlib import Path

from halfmask.data.formats.dicom import image, segmentation
from halfmask.data.formats.dicom.header import Header, is_dicom, told_plainly
from halfmask.data.formats.dicom.series import header_of, series_of
from halfmask.data.formats.dicom.written import refuse_unfit, write
from halfmask.data.formats.reading import Reading
from halfmask.data.volume import Grid

__all__ = ["files_of", "geometry", "is_dicom", "is_segmentation", "read", "refuse_unfit", "uid_of", "write"]


def read(path: Path) -> Reading:
    """Read the series that a file is one of, or the class numbers of a segmentation object, whose notes tell names.

    Of a series the files in the file's own folder are read.
    """
    with told_plainly("the file"):  # bytes that went wrong can break anything
        return segmentation.read(path) if is_segmentation(path) else image.read(path)


def geometry(path: Path) -> Grid:
    """The grid alone."""
    with told_plainly("the file"):
        return segmentation.read(path).grid if is_segmentation(path) else image.source_of(path).grid


def files_of(path: Path) -> tuple[Path, ...]:
    """All files that reading this one reads."""
    return (path,) if is_segmentation(path) else tuple(header.path for header in series_of(path).headers)


def uid_of(path: Path) -> str:
    """The object's own; files of one name in the folders of two series differ in nothing else that is seen at once."""
    header = header_of(path)
    return header.uid if isinstance(header, Header) else ""


def is_segmentation(path: Path) -> bool:
    header = header_of(path)
    return isinstance(header, Header) and header.kind == "segmentation"
