"""A series as one volume."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from halfmask.data.formats.dicom.frames import Frames, frames_of
from halfmask.data.formats.dicom.header import Header, Told, told_plainly
from halfmask.data.formats.dicom.pixels import Scaled, decoded
from halfmask.data.formats.dicom.series import Series, series_of
from halfmask.data.formats.dicom.stack import Slice, Stack, stacked
from halfmask.data.formats.reading import Note, Reading
from halfmask.data.volume import Grid

INVERTED = Note(
    "is stored to be shown with low numbers bright (MONOCHROME1); the numbers are taken as they are",
    "keep it apart from images that are not, or invert it",
)


@dataclass(frozen=True)
class Source:
    """A series with its stack; what each place of it is made of.

    Attributes:
        frames: of a multi-frame object, else None: then each slice is a file of the series.
    """

    series: Series
    stack: Stack
    frames: Frames | None

    @property
    def grid(self) -> Grid:
        return self.stack.grid(self.series.first.rows, self.series.first.columns)


def source_of(path: Path) -> Source:
    """The series that a file belongs to, from the files of its folder, and its geometry.

    Raises:
        ValueError: it is no image, or its slices make no volume; the text does not name the file.
    """
    series = series_of(path)
    first = series.first
    if first.multi:
        frames = frames_of(whole(first.path, pixels=False))
        stack = stacked(_one_kind(frames.slices))
        if any(len(places) > 1 for places in stack.order):
            raise Told(f"its {len(frames.slices)} frames are several volumes at {len(stack.order)} places (times, "
                       "echoes, …) in one file, which are not told apart; store each as a series")  # fmt: skip
        return Source(series, stack, frames)
    return Source(series, stacked([_slice(header) for header in series.headers]), None)


def read(path: Path) -> Reading:
    """Read (C=1, x, y, z): all files of the series that ``path`` is one of, as far as they lie in its folder."""
    source = source_of(path)
    first, stack, frames = source.series.first, source.stack, source.frames
    shape = (len(stack.order), first.rows, first.columns)
    if frames is None:
        headers = source.series.headers
        volume = Scaled(shape, first.bits, first.signed, [(h.slope, h.intercept) for h in headers])
        for place, members in enumerate(stack.order):
            one, *others = ((h, *_pixels(h)) for h in (headers[n] for n in members))
            for header, stored, _ in others:
                _same(one[0], one[1], header, stored)
            volume.put(place, one[1][0], (one[0].slope, one[0].intercept), scaled=one[2])
    else:
        data = whole(first.path)
        volume = Scaled(shape, first.bits, first.signed, frames.scales)
        stored, scaled = decoded(first.path, data, varying=len(set(frames.scales)) > 1)
        for place, (n,) in enumerate(stack.order):
            volume.put(place, stored[n], frames.scales[n], scaled=scaled)
    notes = (*stack.notes, *(frames.notes if frames else ()), *([INVERTED] if first.inverted else []))
    return Reading(volume.whole(), source.grid, notes)


def whole(path: Path, *, pixels: bool = True) -> Dataset:
    """All of a file."""
    with told_plainly("the file"):
        return pydicom.dcmread(path, stop_before_pixels=not pixels)


def _pixels(header: Header) -> tuple[np.ndarray, bool]:
    try:
        data = whole(header.path)
        if (int(data.Rows), int(data.Columns)) != (header.rows, header.columns):
            raise Told("it was changed while it was read")
        return decoded(header.path, data)
    except ValueError as e:
        raise Told(f"its slice {header.path.name}: {e}") from None


def _slice(header: Header) -> Slice:
    told = {
        "ImagePositionPatient": header.position,
        "ImageOrientationPatient": header.orientation,
        "PixelSpacing": header.spacing,
    }
    if absent := [name for name, value in told.items() if value is None]:
        raise Told(f"its slice {header.path.name} has no {' and no '.join(absent)}, so it is not known where it lies")
    assert header.position and header.orientation and header.spacing
    return Slice(header.orientation, header.position, header.spacing, header.across)


def _one_kind(slices: tuple[Slice, ...]) -> tuple[Slice, ...]:
    for name in ("orientation", "spacing"):
        if np.ptp([getattr(s, name) for s in slices], axis=0).max() > 2e-3:
            raise Told(
                f"its frames differ in {name}, so they are no one volume; store each stack as a series of its own"
            )
    return slices


def _same(one: Header, stored: np.ndarray, other: Header, also: np.ndarray) -> None:
    if (one.slope, one.intercept) != (other.slope, other.intercept) or not np.array_equal(stored, also):
        raise Told(
            f"{one.path.name} and {other.path.name} lie at the same place and differ, and nothing tells them apart "
            "(echo, time, weighting); give each volume a folder or a series of its own"
        )
