"""Segmentation objects (SEG) as class numbers on the grid of the series that they were drawn on."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.pixels import iter_pixels

from halfmask.data.formats.dicom.frames import groups, measured
from halfmask.data.formats.dicom.header import Header, Told, told_plainly
from halfmask.data.formats.dicom.image import source_of, whole
from halfmask.data.formats.dicom.series import headers_in
from halfmask.data.formats.dicom.stack import Slice, axes, stacked
from halfmask.data.formats.reading import Note, Reading
from halfmask.data.volume import Grid

NEARBY = 20_000
"""Folders around a segmentation are searched for its source series until they have held so many files."""

OVERLAP = Note("has voxels in several segments, which count for the last of them", "store segments that do not overlap")
FRACTION = Note("tells a share of each voxel; from a half on it counts", "store it as a binary segmentation")
ALONE = Note(
    "lies far from the series that it was drawn on, so its own frames are taken for the whole grid",
    "put it into the folder of that series, or into one beside it",
)
MAKER = "halfmask"
"""Files of our own have frames for all slices."""
VALUE = "halfmask class value "
"""What our own files say in a segment's description where its number is not the class's value."""


@dataclass(frozen=True)
class About:
    """What a segmentation says of itself.

    Attributes:
        names: class number to the segment's label.
        series: that it was drawn on; instances: the objects of that.
    """

    names: dict[int, str] = field(repr=False)
    series: str
    instances: frozenset[str]


def about(path: Path) -> About:
    """What a segmentation marks, and on what.

    Raises:
        ValueError: it cannot be read; the text does not name the file.
    """
    with told_plainly("the file"):
        data = whole(path, pixels=False)
        return About({_value(s): str(s.get("SegmentLabel") or "").strip() for s in _segments(data)}, *_referred(data))


def read(path: Path) -> Reading:
    """Read class numbers (C=1, x, y, z): a segment's number, 0 where there is none."""
    data = whole(path)
    with told_plainly("the file"):
        kind = str(data.get("SegmentationType") or "BINARY")
        placed = _placed(data)
        values = {int(s.SegmentNumber): _value(s) for s in _segments(data)}
        series, instances = _referred(data)
    grid, notes = _grid(path, data, [s for s, _ in placed], series, instances)
    places = [_place(one, grid, data) for one, _ in placed]
    array = np.zeros(grid.shape[::-1], np.uint8 if max(values.values(), default=0) < 256 else np.uint16)
    with told_plainly("its pixel data"):
        for place, (_, number), frame in zip(places, placed, _frames(data), strict=True):
            if kind == "LABELMAP":
                known = np.zeros(max(int(frame.max()), *values, 0) + 1, array.dtype)
                for segment, value in values.items():
                    known[segment] = value
                array[place] = known[frame]
                continue
            if kind == "FRACTIONAL":
                notes.add(FRACTION)
                frame = 2 * frame.astype(np.uint16) >= int(data.get("MaximumFractionalValue") or 255)
            inside = frame > 0
            if (array[place][inside] > 0).any():
                notes.add(OVERLAP)
            array[place][inside] = values[number]
    return Reading(np.transpose(array)[None], grid, tuple(sorted(notes, key=str)))


def _segments(data: Dataset) -> list[Dataset]:
    found = [s for s in data.get("SegmentSequence") or [] if int(s.get("SegmentNumber") or 0) > 0]
    if not found:
        raise Told("it describes no segment")
    return found


def _value(segment: Dataset) -> int:
    """The class number that a segment marks."""
    told = re.fullmatch(VALUE + r"(\d+)", str(segment.get("SegmentDescription") or ""))
    return int(told[1]) if told else int(segment.SegmentNumber)


def _referred(data: Dataset) -> tuple[str, frozenset[str]]:
    """The series that it was drawn on and the objects of that; of several series the first."""
    series: Any = (data.get("ReferencedSeriesSequence") or [Dataset()])[0]
    instances = series.get("ReferencedInstanceSequence") or []
    return str(series.get("SeriesInstanceUID") or ""), frozenset(str(i.ReferencedSOPInstanceUID) for i in instances)


def _placed(data: Dataset) -> list[tuple[Slice, int]]:
    """Each frame's place, and the number of the segment that it shows (0 in a label map)."""
    count = int(data.get("NumberOfFrames") or 1)
    own, shared = groups(data, count)
    segment = lambda frame: frame.get("SegmentIdentificationSequence") or shared.get("SegmentIdentificationSequence")
    numbers = [int(found[0].ReferencedSegmentNumber) if (found := segment(frame)) else 0 for frame in own]
    return [(measured(frame, shared), number) for frame, number in zip(own, numbers, strict=True)]


def _frames(data: Dataset) -> Iterator[np.ndarray]:
    """(rows, columns) each."""
    if "PixelData" not in data:
        raise Told("it has no pixel data")
    if int(data.BitsAllocated) > 1 or data.file_meta.TransferSyntaxUID.is_encapsulated:
        yield from iter_pixels(data)
        return
    size, stored = int(data.Rows) * int(data.Columns), np.frombuffer(data.PixelData, np.uint8)
    for n in range(int(data.get("NumberOfFrames") or 1)):  # bits run on from frame to frame, not byte by byte
        start, end = n * size, (n + 1) * size
        bits = np.unpackbits(stored[start // 8 : -(-end // 8)], bitorder="little")[start % 8 :][:size]
        if len(bits) < size:
            raise EOFError
        yield bits.reshape(int(data.Rows), int(data.Columns))


def _grid(
    path: Path, data: Dataset, frames: list[Slice], series: str, instances: frozenset[str]
) -> tuple[Grid, set[Note]]:
    """Of the source series, unless the frames reach over all of it by themselves."""
    alone: ValueError | None = None
    grid: Grid | None = None
    try:
        own = stacked(frames).grid(int(data.Rows), int(data.Columns))
        ours = data.get("Manufacturer") == MAKER
        if ours or own.shape[2] == len(instances) > 1:  # one instance may be one of many frames
            return own, set()
        if frames[0].across and abs(own.spacing[2] / frames[0].across - 1) > 0.01:
            raise Told(f"they lie {own.spacing[2]:.4g} mm apart and slices {frames[0].across:.4g} mm")
        grid = own
    except ValueError as e:
        alone = e
    if (found := _source(path, series, instances)) is not None:
        try:
            return source_of(found).grid, set()
        except ValueError as e:
            raise Told(f"the series that it was drawn on: {e}") from None
    if grid is None:
        raise Told(f"the series that it was drawn on does not lie near it, and of its own frames: {alone}; put it into "
                   "the folder of that series, or into one beside it")  # fmt: skip
    return grid, {ALONE}


def _source(path: Path, series: str, instances: frozenset[str]) -> Path | None:
    """A file of the source series, in the segmentation's folder or in the folders around it, the nearest first."""
    left = NEARBY
    for folder in _around(path.resolve().parent):
        try:
            left -= sum(1 for _ in folder.iterdir())
            found = headers_in(folder) if left > 0 else ()
        except OSError:
            continue
        for header in found:
            if not isinstance(header, Header) or header.kind != "image" or header.series != series:
                continue
            if not instances or header.uid in instances:
                return header.path
        if left <= 0:
            return None
    return None


def _around(folder: Path) -> Iterator[Path]:
    """The folder, those in it, then its parent and two levels of folders in that."""
    inside = lambda p: (
        sorted(c for c in p.iterdir() if c.is_dir() and c.name[0] != ".") if os.access(p, os.R_OK) else []
    )
    yield folder
    yield from (near := inside(folder))
    parent = folder.parent
    if parent == parent.parent:  # the root of all files
        return
    yield parent
    for child in inside(parent):
        if child != folder:
            yield child
        yield from (c for c in inside(child) if c not in near)


def _place(one: Slice, grid: Grid, data: Dataset) -> int:
    """Which slice of the grid a frame is."""
    row, column, _ = axes([one])
    corners = np.array([[0, 0], [1, 0], [0, 1]]) * (np.array([data.Columns, data.Rows], float) - 1)
    mm = one.position + corners[:, :1] * row * one.spacing[1] + corners[:, 1:] * column * one.spacing[0]
    turn = np.linalg.inv(grid.affine)
    voxels = (mm * (-1, -1, 1)) @ turn[:3, :3].T + turn[:3, 3]
    place = int(np.rint(voxels[0, 2]))
    expected = np.column_stack([corners, np.full(3, place)])
    size = (int(data.Columns), int(data.Rows)) == grid.shape[:2]
    if not size or not 0 <= place < grid.shape[2] or abs(voxels - expected).max() > 0.1:
        raise Told("its frames do not lie on the slices of the series that it was drawn on; resample it to that series")
    return place
