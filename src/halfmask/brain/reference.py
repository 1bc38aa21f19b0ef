"""What all subjects are brought to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from halfmask.brain.image import as_image, isotropic, like
from halfmask.data.formats import read
from halfmask.data.phantom.template import template_file


@dataclass(frozen=True)
class Reference:
    """A stripped brain, 0 outside, on the grid that results get."""

    image: sitk.Image

    @property
    def mask(self) -> sitk.Image:
        return sitk.Cast(self.image > 0, sitk.sitkUInt8)


def template(spacing: float) -> Reference:
    """ICBM 152 (2009a, symmetric), T1, in its own field of view, which holds a whole head's brain with room."""
    return read_reference(Path(template_file("t1")), spacing)


def read_reference(file: Path, spacing: float) -> Reference:
    """A stripped brain from a file.

    Raises:
        ValueError: it cannot be read, or has a skull or no background.
    """
    array, grid = read(file)
    if len(array) != 1 or not grid.scan or 1 in grid.shape:
        raise ValueError(f"the reference {file} is no scan of one channel; give a stripped T1")
    brain = array[0].astype(np.float32)
    share = float((brain > 0).mean())
    if not 0.01 < share < 0.6:
        raise ValueError(
            f"{share:.0%} of the reference {file} is above 0; a stripped brain with 0 around it is expected: give one, "
            "or the name of a case, which is stripped first"
        )
    image = as_image(brain, grid)
    inside = sitk.Cast(isotropic(like((brain > 0).astype(np.float32), image), spacing) > 0.5, sitk.sitkFloat32)
    return Reference(isotropic(image, spacing) * inside)
