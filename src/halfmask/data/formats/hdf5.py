"""h5 files of the public semi-supervised benchmarks: a data set ``image`` and, beside it, ``label``.

So SSL4MIS (ACDC, BraTS 2019) and UA-MT (left atrium) store their cases. The files say nothing of geometry.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from halfmask.data.atomic import atomic
from halfmask.data.formats.names import suffix
from halfmask.data.formats.reading import Note, Reading
from halfmask.data.volume import Grid

SPACING = Note(
    "says nothing of its spacing, which is taken as 1 mm along each axis",
    "take distances in the results for voxels, or convert to a format that has a spacing",
)


def read(path: Path, *, label: bool) -> Reading:
    """Read ``image`` or ``label`` as (C, *spatial): a picture of two axes, or a scan of three with identity affine."""
    with h5py.File(_there(path), "r") as file:
        voxels = _voxels(file, "label" if label else "image")
        array, axis = voxels[()], _channel_axis(file, voxels)
    if array.dtype.kind not in "iufb":
        raise ValueError(f"its voxels are {array.dtype}, not real numbers")
    if array.dtype.kind in "fb":
        array = array.astype(np.float32 if array.dtype.kind == "f" else np.uint8)
    array = array[None] if axis is None else np.moveaxis(array, axis, 0)
    grid = _grid(array.shape[1:])
    return Reading(array.reshape(-1, *grid.shape), grid, (SPACING,) if grid.scan else ())


def has_label(path: Path) -> bool:
    """Whether the image's label lies beside it."""
    with h5py.File(path, "r") as file:
        return isinstance(file.get("label"), h5py.Dataset)


def write_like(path: Path, array: np.ndarray, like: Path) -> Path:
    """Write (*spatial) with as many axes as ``like`` has: whole numbers as ``label``, a float map as ``image``."""
    path = path.with_name(path.name + suffix(like))
    with h5py.File(_there(like), "r") as file:
        voxels = _voxels(file, "image")
        axis = _channel_axis(file, voxels)
        shape = voxels.shape if axis is None else tuple(np.delete(voxels.shape, axis))
    name = "label" if np.issubdtype(array.dtype, np.integer) else "image"
    with atomic(path) as partial, h5py.File(partial, "w") as file:
        file.create_dataset(name, data=array.reshape(shape), compression="gzip")
    return path


def _voxels(file: h5py.File, name: str) -> h5py.Dataset:
    voxels = file.get(name)
    if not isinstance(voxels, h5py.Dataset) or 0 in voxels.shape:
        raise ValueError(f"it has no data set {name!r} of voxels; it has {', '.join(map(repr, file)) or 'nothing'}")
    return voxels


def _channel_axis(file: h5py.File, voxels: h5py.Dataset) -> int | None:
    """The axis that ``voxels`` has more than the label, the first or the last; None if there is no such."""
    label = file.get("label")
    if isinstance(label, h5py.Dataset) and label.ndim == voxels.ndim - 1:
        for axis in (0, -1):
            if label.shape == tuple(np.delete(voxels.shape, axis)):
                return axis
    return None


def _grid(shape: tuple[int, ...]) -> Grid:
    if len(shape) == 2:
        return Grid((1, *shape), np.eye(4), scan=False)
    if len(shape) != 3:
        raise ValueError(f"its shape {shape} is no image's; 2 or 3 axes are expected, and one for channels that the "
                         "label does not have")  # fmt: skip
    return Grid(shape, np.eye(4))


def _there(path: Path) -> Path:
    if not path.is_file():  # h5py tells it with errno and flags
        raise FileNotFoundError(path)
    return path
