"""The brain all subjects are warped from: the ICBM 152 nonlinear template of 2009, as nilearn ships it.

Average maps of gray and white matter of 152 healthy young adults, 1 mm, left and right symmetric (09a). Copyright
(C) 1993-2009 Louis Collins, McConnell Brain Imaging Centre, Montreal Neurological Institute, McGill University;
terms in NOTICE. Source: Fonov et al., NeuroImage 47:S102 (2009) and 54:313 (2011).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib.metadata import distribution
from typing import cast

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Field = NDArray[np.floating]
"""One number a voxel, (*spatial). A depth is in mm below a surface, negative outside."""

ORIGIN = np.array([-98.0, -134.0, -72.0])
"""Of the template's first voxel, in mm from the anterior commissure: rightward, forward, upward."""

MAPS = {"gray": "gm", "white": "wm", "brain": "t1"}


def tissue_maps(place: Field, spacing: Sequence[float]) -> dict[str, Field]:
    """Shares of gray and white matter and of the brain with its fluid, 0–1, at places of the template.

    Args:
        place: (3, *spatial) in mm.
        spacing: of those places; the maps are averaged over blocks of about its size first (partial volume).
    """
    block = tuple(max(1, int(s)) for s in spacing)
    voxel = [(p - o - (b - 1) / 2) / b for p, o, b in zip(place, ORIGIN, block, strict=True)]
    return {name: ndimage.map_coordinates(_blocks(name, block), voxel, order=1, output=np.float32) for name in MAPS}


def template_file(name: str) -> str:
    """Where the template's "t1" (0 outside the brain), "gm" or "wm" lies. Each has 8 bits."""
    file = f"nilearn/datasets/data/mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz"
    return str(distribution("nilearn").locate_file(file))  # not imported, which would take seconds


@functools.lru_cache(maxsize=12)
def _blocks(name: str, block: tuple[int, int, int]) -> Field:
    """A map of the template, averaged over blocks of voxels."""
    image = cast(nibabel.Nifti1Image, nibabel.load(template_file(MAPS[name])))
    full = np.asarray(image.dataobj, np.float32) / 255
    if name == "brain":  # the T1 template is 0 outside the brain
        full = (full > 0.02).astype(np.float32)
    for axis, size in enumerate(block):
        starts = np.arange(0, full.shape[axis] // size * size, size)
        full = np.add.reduceat(full.take(range(starts[-1] + size), axis), starts, axis) / size
    return full
