"""From brains back to the scans that they were made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from halfmask.brain.image import as_array, as_image, resampled
from halfmask.data.formats import Kind, read, stem, write_like
from halfmask.data.index import Case
from halfmask.inference.predict import remove_others


def bring_back(
    heads: Sequence[Case],
    brains: Path,
    found: Path,
    out: Path,
    *,
    names: Mapping[int, str] | None = None,
    kind: Kind | None = None,
) -> list[Path]:
    """Masks, and maps in folders beside them, on the grid of each case's first image.

    Args:
        brains: what `halfmask brain` made of the cases.
        found: the folder of masks and maps on the brains' grid, as NIfTI.
        names: of the numbers in a mask, for a format that tells them.
        kind: the format; that of each case's first image if None.

    Returns: the masks' paths in ``out``.
    """
    masks = []
    for case in heads:
        files = sorted(file for file in found.rglob("*.nii.gz") if stem(file) == case.name)
        if not files:  # it failed
            continue
        array, grid = read(case.images[0])
        scan = as_image(array[0].astype(np.float32), grid)
        way = way_back(brains / "subjects" / case.name)
        for file in files:
            brought = _map_back(file, scan, way)
            place = out / file.parent.relative_to(found) / case.name
            written = write_like(place, brought, case.images[0], names=names, kind=kind)
            remove_others(place.parent, case, written)
            if file.parent == found:
                masks.append(written)
    return masks


def way_back(subject: Path) -> sitk.Transform:
    """From points of a subject's first modality, as scanned, to points of the result."""
    forward = next(iter(sorted(subject.glob("reference_to_*.tfm"))), None)
    if forward is None:
        return sitk.Transform(3, sitk.sitkIdentity)
    return sitk.ReadTransform(str(forward)).GetInverse()


def _map_back(file: Path, scan: sitk.Image, way: sitk.Transform) -> np.ndarray:
    image = sitk.ReadImage(str(file))
    array = as_array(image)
    whole = not np.issubdtype(array.dtype, np.floating)
    edge = float(array[0, 0, 0])  # background: 1 in its own probability, 0 in others; or the cluster that it fell to
    kind = sitk.sitkNearestNeighbor if whole else sitk.sitkLinear
    return as_array(resampled(image, scan, way, interpolation=kind, outside=edge))
