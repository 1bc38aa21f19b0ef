"""By which suffixes image files are known."""

from __future__ import annotations

from pathlib import Path

NIFTI = (".nii.gz", ".nii")
VOLUMES = (".nrrd", ".nhdr", ".mha", ".mhd", ".gipl.gz", ".gipl", ".vtk", ".mrc")
PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
HDF5 = (".h5", ".hdf5")
DICOM = (".dcm", ".dicom", ".ima")
"""Many DICOM files have no suffix, or a number's: those are known by how they begin."""
SUFFIXES = NIFTI + VOLUMES + PICTURES + HDF5 + DICOM


def suffix(path: Path) -> str:
    """The suffix by which an image file is known, ".nii.gz" in one piece; "" if it is no image file."""
    name = path.name.lower()
    return next((s for s in SUFFIXES if name.endswith(s)), "")


def stem(path: Path) -> str:
    """The file's name without that suffix."""
    return path.name[: len(path.name) - len(suffix(path))]
