"""Slices in the order in which they lie, and the one affine that holds for all of them; or why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from halfmask.data.formats.dicom.header import Told
from halfmask.data.formats.reading import Note
from halfmask.data.volume import Grid

SAME = 1e-3
"""Slices nearer to each other, in mm, lie at one place."""
EVEN, UNEVEN = 0.01, 0.1
"""Slices that lie off an even stack by up to these shares of a gap pass silently, and with a note."""
ASIDE = 0.1
"""By so much of a pixel slices may be shifted within their plane, silently; up to `TILT` degrees with a note."""
TILT = 0.1

DUPLICATES = Note("holds slices twice, with the same pixels, of which one is taken", "remove the copies")
GAPS = Note(
    "has gaps between slices that differ a little, which are taken as even", "make sure that no slice was moved"
)
DRIFT = Note(
    "has slices that are shifted a little against each other, which are taken as straight",
    "look at the outer slices if the body seems to lean",
)
THICK = Note("says nothing of how far its slices lie apart, for which a slice's thickness is taken",
             "make sure that there are no gaps")  # fmt: skip
UNKNOWN = Note("is one slice of unknown thickness, which is taken as 1 mm", "take volumes in the results with care")


@dataclass(frozen=True)
class Slice:
    """Where one slice lies: as `Header` tells it, for a file or a frame of one."""

    orientation: tuple[float, ...]
    position: tuple[float, ...]
    spacing: tuple[float, ...]
    across: float | None = None


@dataclass(frozen=True)
class Stack:
    """Slices in order along their normal.

    Attributes:
        order: for each place which of the slices lie there, several where some are there twice.
        affine: (4, 4), from voxel (column, row, place) to mm to the right, anterior and superior.
    """

    order: tuple[tuple[int, ...], ...]
    affine: np.ndarray
    notes: tuple[Note, ...]

    def grid(self, rows: int, columns: int) -> Grid:
        return Grid((columns, rows, len(self.order)), self.affine)


def stacked(slices: Sequence[Slice]) -> Stack:
    """Order slices of one orientation and spacing.

    Raises:
        ValueError: slices are missing, or the stack leans (a tilted gantry); the text does not name the file.
    """
    row, column, normal = axes(slices)
    positions = np.array([s.position for s in slices])
    depth = positions @ normal
    order: list[list[int]] = []
    for n in np.argsort(depth, kind="stable"):
        if order and depth[n] - depth[order[-1][0]] < SAME:
            order[-1].append(int(n))
        else:
            order.append([int(n)])
    firsts = [places[0] for places in order]
    notes = [DUPLICATES] if len(firsts) < len(slices) else []
    pixel = np.mean([s.spacing for s in slices], 0)
    notes += _straight(positions, depth, normal, float(min(pixel)))
    gap, more = _even(depth[firsts], slices[0].across)
    affine = np.eye(4)
    affine[:3, :3] = np.stack([row * pixel[1], column * pixel[0], normal * gap], 1)
    affine[:3, 3] = positions[firsts[0]]
    return Stack(tuple(map(tuple, order)), np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine, (*notes, *more))


def axes(slices: Sequence[Slice]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit vectors along the rows, down the columns and across, at right angles; the mean over the slices."""
    mean = np.mean([s.orientation for s in slices], 0)
    row = mean[:3] / np.linalg.norm(mean[:3])
    column = mean[3:] - (mean[3:] @ row) * row
    column /= np.linalg.norm(column)
    return row, column, np.cross(row, column)


def _straight(positions: np.ndarray, depth: np.ndarray, normal: np.ndarray, pixel: float) -> list[Note]:
    """Whether the slices lie above each other, and not shifted within their planes."""
    aside = positions - positions[0] - np.outer(depth - depth[0], normal)
    shift = float(np.linalg.norm(aside, axis=1).max())
    if shift <= ASIDE * pixel:
        return []
    high = depth - depth.mean()
    lean = high @ aside / max(float(high @ high), 1e-12)  # mm aside for each mm across
    rest = float(np.linalg.norm(aside - aside.mean(0) - np.outer(high, lean), axis=1).max())
    angle = float(np.degrees(np.arctan(np.linalg.norm(lean))))
    if rest > max(pixel, ASIDE * shift):
        raise Told(f"its slices are shifted within their planes by up to {shift:.1f} mm, so they are no one stack; "
                   "give each stack a folder of its own")  # fmt: skip
    if angle > TILT:
        raise Told(f"its gantry was tilted by {angle:.1f}°: its slices are shifted against each other, so its axes "
                   "are not at right angles; straighten it, e.g. by dcm2niix, and give that NIfTI")  # fmt: skip
    return [DRIFT]


def _even(depth: np.ndarray, across: float | None) -> tuple[float, list[Note]]:
    """mm from slice to slice."""
    if len(depth) == 1:
        return (across, []) if across else (1.0, [UNKNOWN])
    gaps = np.diff(depth)
    gap = float(np.median(gaps))
    if (lost := _missing(gaps, gap)) is not None:
        raise Told(lost)
    mean = float(depth[-1] - depth[0]) / len(gaps)
    off = float(abs(depth - depth[0] - mean * np.arange(len(depth))).max()) / mean
    if off > UNEVEN:
        raise Told(f"its slices lie unevenly, {gaps.min():.4g} to {gaps.max():.4g} mm apart; resample it to even gaps, "
                   "or find the slices that are missing")  # fmt: skip
    return mean, [GAPS] if off > EVEN else []


def _missing(gaps: np.ndarray, gap: float) -> str | None:
    """Where whole slices are missing, if that is what makes the gaps uneven."""
    times = np.round(gaps / gap)
    wide = np.flatnonzero(times > 1)
    if not len(wide) or (abs(gaps / gap - times) > UNEVEN * times).any():
        return None
    count = int((times[wide] - 1).sum())
    places = [f"{int(times[n] - 1)} after slice {n + 1} of {len(gaps) + 1}" for n in wide[:5]]
    more = f" and at {len(wide) - 5} more places" if len(wide) > 5 else ""
    return (f"{count} slice{'s are' * (count > 1)}{' is' * (count == 1)} missing: {', '.join(places)}{more}, counted "
            f"along the normal, {gap:.4g} mm apart; copy the series anew")  # fmt: skip
