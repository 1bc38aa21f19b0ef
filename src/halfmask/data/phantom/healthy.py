"""A brain before lesions: the template, warped at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from halfmask.data.phantom.template import Field, tissue_maps
from halfmask.data.volume import resample

VIEW = np.array([160.0, 180.0, 160.0])
"""Field of view in mm: left to right, back to front, bottom to top. With the shape it gives the spacing."""

CENTER = np.array([0.0, -17.0, 4.0])
"""Of the view, in the template's mm."""

HORNS = [(11, 30, 4), (10, 8, 17), (14, -22, 20), (23, -40, 16), (27, -44, 2), (32, -12, -16)]
"""The axis of a lateral ventricle, from its frontal to its temporal horn, in the template's mm."""


@dataclass(frozen=True)
class Healthy:
    """A subject before lesions, (*spatial): shares as in `anatomy.Tissues`, and

    Attributes:
        place: (3, *spatial), mm in the template.
        away: mm from the lateral ventricles.
    """

    gray: Field
    white: Field
    fluid: Field
    ventricles: Field
    brain: Field
    place: Field
    away: Field


def healthy(rng: Generator, shape: Sequence[int]) -> Healthy:
    spacing = tuple((VIEW / shape).tolist())
    grid = np.meshgrid(*((np.arange(n) + 0.5) * s - v / 2 for n, s, v in zip(shape, spacing, VIEW, strict=True)),
                       indexing="ij")  # fmt: skip
    place, near = _warp(rng, np.stack(grid).astype(np.float32))
    maps = tissue_maps(place, spacing)
    gray, white, fluid = _individual(rng, maps)
    ventricles = fluid * np.clip((12 - near) / 2, 0, 1)
    away = ndimage.distance_transform_edt(ventricles < 0.5, sampling=spacing)
    return Healthy(gray, white, fluid, ventricles, maps["brain"], place, away)


def smooth(rng: Generator, shape: Sequence[int], cells: int) -> Field:
    """A random smooth field about 0, of deviation a little under 1, with ``cells`` bumps along each axis."""
    return resample(rng.standard_normal((cells,) * 3), shape, order=3, coarse=None)


def _warp(rng: Generator, grid: Field) -> tuple[Field, Field]:
    """Where in the template the voxels of a subject lie, and how far from a lateral ventricle's axis, in mm."""
    shape = grid.shape[1:]
    place = np.empty_like(grid)
    for axis in range(3):  # the template is larger than most heads
        bend = 3 * smooth(rng, shape, 4) + 1.5 * smooth(rng, shape, 9) + 1.2 * smooth(rng, shape, 18)
        place[axis] = grid[axis] / rng.normal(0.94, 0.02) + CENTER[axis] + bend
    side = np.where(place[0] < 0, -1, 1).astype(np.float32)
    folded = np.stack([np.abs(place[0]), *place[1:]])
    offset = _to_path(folded)
    near = np.sqrt((offset**2).sum(0))
    # Shrinking what is near the axis, on the way to the template, widens the ventricle; each side for itself.
    wide = np.where(side < 0, *np.clip(rng.uniform(-0.15, 0.35) + rng.normal(0, 0.06, 2), -0.15, 0.5))
    move = -offset * (wide * np.exp(-((near / 13) ** 2)))
    # No more than to the midplane, else the sides would mix.
    move[0] = side * np.maximum(move[0], 0.2 - folded[0])
    place += move
    return place, near


def _individual(rng: Generator, maps: dict[str, Field]) -> tuple[Field, Field, Field]:
    """Gray, white and fluid, sharper than in an average of 152, with more or less fluid in the sulci."""
    shape = maps["gray"].shape
    gray, white = maps["gray"], maps["white"]
    fluid = np.clip(1 - gray - white, 0, 1) * np.exp(rng.normal(0.6, 0.25) + 0.35 * smooth(rng, shape, 16))
    gray = gray * np.exp(0.25 * smooth(rng, shape, 14))
    powers = [np.clip(tissue, 1e-4, None) ** 2 for tissue in (gray, white, fluid)]
    total = sum(powers)
    return powers[0] / total, powers[1] / total, powers[2] / total


def ventricle_distance(place: Field) -> Field:
    """From places in the template, (3, *spatial), to the axis of the nearest lateral ventricle, in mm."""
    offset = _to_path(np.stack([np.abs(place[0]), *place[1:]]))
    return np.sqrt((offset**2).sum(0))


def tentorium(place: Field) -> NDArray[np.bool_]:
    """Whether places in the template, (3, *spatial), lie below it: cerebellum and brain stem."""
    _, y, z = place
    return (z < -18) & (y < -10)


def _to_path(place: Field) -> Field:
    """From the nearest point of `HORNS` to each place, in mm, (3, *spatial)."""
    column = lambda p: np.array(p, np.float32).reshape(3, 1, 1, 1)
    nearest, least = place, np.full(place.shape[1:], np.inf, np.float32)
    for start, end in zip(map(column, HORNS), map(column, HORNS[1:]), strict=False):
        line = end - start
        along = np.clip(((place - start) * line).sum(0) / (line**2).sum(), 0, 1)
        offset = place - start - along * line
        square = (offset**2).sum(0)
        nearest, least = np.where(square < least, offset, nearest), np.minimum(square, least)
    return nearest
