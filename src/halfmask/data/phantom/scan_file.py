"""Scans as NIfTI, as scanners' coordinates have them."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray

from halfmask.data.atomic import atomic


def write_scan(path: Path, array: NDArray[np.generic], affine: NDArray[np.floating]) -> None:
    """Write an array (*spatial), or with channels last, atomically; ``affine`` leads to millimeters, RAS+."""
    image = nibabel.Nifti1Image(array, affine)
    image.set_sform(affine, code="scanner")
    image.set_qform(affine, code="scanner")
    image.header.set_xyzt_units("mm")
    with atomic(path) as partial:
        nibabel.save(image, partial)
