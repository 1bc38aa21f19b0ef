"""Where the frames of a multi-frame object lie and how their numbers are scaled, in whatever place it is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from halfmask.data.formats.dicom.header import Told, across_of, numbers, orientation_of, spacing_of
from halfmask.data.formats.dicom.stack import THICK, Slice
from halfmask.data.formats.reading import Note


@dataclass(frozen=True)
class Frames:
    """All frames of an object.

    Attributes:
        scales: slope and intercept of each.
        own: they are told in functional groups, frame by frame.
    """

    slices: tuple[Slice, ...]
    scales: tuple[tuple[float, float], ...]
    own: bool
    notes: tuple[Note, ...] = ()


def frames_of(data: Dataset) -> Frames:
    """The frames of an enhanced object (functional groups), or of a plain one with the place of its first frame.

    Raises:
        ValueError: it does not tell where they lie.
    """
    count = int(data.get("NumberOfFrames") or 1)
    if "PerFrameFunctionalGroupsSequence" in data or "SharedFunctionalGroupsSequence" in data:
        return _enhanced(data, count)
    return _plain(data, count)


def groups(data: Dataset, count: int) -> tuple[Sequence[Dataset], Dataset]:
    """The functional groups of each frame, and those that all share."""
    shared = (data.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
    own: Any = data.get("PerFrameFunctionalGroupsSequence") or [Dataset()] * count
    if len(own) != count:
        raise Told(f"it tells of {len(own)} frames and has {count}")
    return own, shared


def measured(frame: Dataset, shared: Dataset) -> Slice:
    """Where one frame lies."""
    orientation = orientation_of(_told(frame, shared, "PlaneOrientationSequence", "ImageOrientationPatient"))
    position = numbers(_told(frame, shared, "PlanePositionSequence", "ImagePositionPatient"), 3, "ImagePositionPatient")
    measures = _item(frame, shared, "PixelMeasuresSequence")
    spacing = spacing_of(measures.get("PixelSpacing"))
    for name, value in (
        ("ImagePositionPatient", position),
        ("ImageOrientationPatient", orientation),
        ("PixelSpacing", spacing),
    ):
        if value is None:
            raise Told(f"it has frames without {name}, so it is not known where they lie")
    assert position is not None and orientation is not None and spacing is not None
    return Slice(orientation, position, spacing, across_of(measures))


def _enhanced(data: Dataset, count: int) -> Frames:
    own, shared = groups(data, count)
    scales = []
    for frame in own:
        values = _item(frame, shared, "PixelValueTransformationSequence")
        told = values if "RescaleSlope" in values else data  # some say it once for all, where plain objects do
        slope, intercept = (numbers(told.get(k), 1, k) for k in ("RescaleSlope", "RescaleIntercept"))
        scales.append((slope[0] if slope else 1.0, intercept[0] if intercept else 0.0))
    return Frames(tuple(measured(frame, shared) for frame in own), tuple(scales), True)


def _plain(data: Dataset, count: int) -> Frames:
    """Its frames follow each other along the normal; nuclear medicine tells the first one's place of its detector."""
    placed = data if data.get("ImagePositionPatient") else (data.get("DetectorInformationSequence") or [data])[0]
    orientation = orientation_of(placed.get("ImageOrientationPatient"))
    position = numbers(placed.get("ImagePositionPatient"), 3, "ImagePositionPatient")
    spacing, across = spacing_of(data.get("PixelSpacing")), across_of(data)
    if orientation is None or position is None or spacing is None or across is None:
        raise Told("it has several frames and does not tell where they lie (position, orientation, spacing)")
    told = numbers(data.get("SpacingBetweenSlices"), 1, "SpacingBetweenSlices")
    step = np.cross(orientation[:3], orientation[3:]) * (told[0] if told and told[0] else across)
    slices = [Slice(orientation, tuple(np.add(position, n * step)), spacing, across) for n in range(count)]
    slope, intercept = (numbers(data.get(k), 1, k) for k in ("RescaleSlope", "RescaleIntercept"))
    scale = (slope[0] if slope else 1.0, intercept[0] if intercept else 0.0)
    return Frames(tuple(slices), (scale,) * count, False, () if told and told[0] else (THICK,))


def _told(frame: Dataset, shared: Dataset, group: str, keyword: str) -> Any:
    return _item(frame, shared, group).get(keyword)


def _item(frame: Dataset, shared: Dataset, group: str) -> Dataset:
    found = frame.get(group) or shared.get(group)
    return found[0] if found else Dataset()
