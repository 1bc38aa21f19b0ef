"""What a data set's images are like: the facts a plan is made from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from halfmask.data.foreground import foreground, foreground_box
from halfmask.data.volume import Grid

SAMPLES = 500
"""So many voxels a case and channel stand for its intensities."""


@dataclass(frozen=True)
class Fingerprint:
    """The facts of one case.

    Attributes:
        spacing, axes: of each native axis, mm, and where it runs to ("LPS"); axes are None for a picture.
        kept: shape of the foreground box, native axes.
        shape: native.
        values: the label's values, without the ignore value.
        intensities: for each channel some voxels of the foreground; None for a case that the plan is not made from.
    """

    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    axes: str | None
    kept: tuple[int, ...]
    values: tuple[int, ...]
    intensities: tuple[tuple[float, ...], ...] | None


def fingerprint(
    image: np.ndarray, label: np.ndarray | None, grid: Grid, ignore: int | None, *, planned: bool = True
) -> Fingerprint:
    """Of an image (C, *spatial) and its label (*spatial) or None, both as in the files.

    Args:
        planned: whether the plan is made from this case too.
    """
    from nibabel.orientations import aff2axcodes

    mask = foreground(image)
    kept = tuple(b - a for a, b in foreground_box(mask))
    values: tuple[int, ...] = ()
    if label is not None:
        values = tuple(int(v) for v in np.unique(label) if v != ignore)
    some = lambda voxels: tuple(float(f"{v:.6g}") for v in voxels[:: max(1, -(-len(voxels) // SAMPLES))])
    return Fingerprint(
        grid.shape,
        grid.spacing,
        "".join(aff2axcodes(grid.affine)) if grid.scan else None,
        kept,
        values,
        tuple(some(channel[mask]) for channel in image) if planned else None,
    )
