"""Hits, misses and false alarms as a transparent picture, in colors and in patterns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from halfmask.report.planes import drawn_shape, stretched

NOTHING, HIT, MISS, ALARM = range(4)
NAMES = {HIT: "hit", MISS: "miss", ALARM: "false alarm"}
COLORS = {HIT: (86, 180, 233), MISS: (213, 94, 0), ALARM: (240, 228, 66)}
"""Sky blue, vermillion and yellow of Okabe & Ito (2008), which color-blind people can tell apart; so differ their
lightnesses, and the patterns: hits are plain, misses striped, false alarms dotted."""
FAINT, STRONG = 0.22, 1.0
"""Opacity inside, and of outlines, stripes and dots."""


def marks(
    prediction: np.ndarray, label: np.ndarray, structures: Mapping[str, Sequence[int]], ignore: int | None
) -> np.ndarray:
    """What became of each voxel (*spatial): `NOTHING`, `HIT`, `MISS` or `ALARM`, uint8.

    A voxel of a structure that was not given to it is a miss, even where it was given to another; one given to
    a structure is a false alarm where the label has none of it. What nobody annotated is nothing.
    """
    result = np.full(label.shape, NOTHING, np.uint8)
    within = [(np.isin(prediction, values), np.isin(label, values)) for values in structures.values()]
    for ours, true in within:
        result[ours & true] = HIT
    for ours, true in within:
        result[ours & ~true] = ALARM
    for ours, true in within:
        result[true & ~ours] = MISS
    if ignore is not None:
        result[label == ignore] = NOTHING
    return result


def drawn(found: np.ndarray, spacing: tuple[float, float]) -> Image.Image:
    """A palette picture of the marks (h, w) of a plane, voxels at their true aspect.

    Args:
        spacing: mm between rows and between columns.
    """
    wide = stretched(found, drawn_shape(found.shape, spacing))
    row, column = np.indices(wide.shape)
    striped = (wide == MISS) & ((row + column) % 8 < 2)
    dotted = (wide == ALARM) & (row % 6 < 2) & (column % 6 < 2)
    strong = (wide != NOTHING) & (edges(wide) | striped | dotted)
    picture = Image.fromarray((2 * wide + strong).astype(np.uint8))
    picture.putpalette(_palette())  # from here on the numbers are entries of a palette
    picture.info["transparency"] = bytes(_opacities())
    return picture


def edges(wide: np.ndarray) -> np.ndarray:
    """Where a mark meets another, on the mark's own side and two pixels thick."""
    padded = np.pad(wide, 2, mode="edge")
    h, w = wide.shape
    near = [padded[2 + r : 2 + r + h, 2 + c : 2 + c + w] for r, c in ((-1, 0), (1, 0), (0, -1), (0, 1), (-2, 0), (2, 0),
            (0, -2), (0, 2))]  # fmt: skip
    return np.any([wide != other for other in near], axis=0)


def _palette() -> list[int]:
    """Two entries a mark, faint and strong, of one color."""
    return [part for mark in range(4) for _ in range(2) for part in COLORS.get(mark, (0, 0, 0))]


def _opacities() -> list[int]:
    return [0, 0] + [round(255 * share) for _ in NAMES for share in (FAINT, STRONG)]
