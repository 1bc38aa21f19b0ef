"""A raw head: a brain in skull, scalp and face, for what comes before training (registration, skull stripping).

Outside the brain there is only what such tools look at: layers about the brain's hull that are as bright as bone,
marrow, fat and skin are, with eyes, nose and neck where they belong. Nobody's anatomy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from halfmask.data.phantom.healthy import VIEW, smooth
from halfmask.data.phantom.template import Field
from halfmask.data.volume import resample

EXTENT = np.array([220.0, 240.0, 260.0])
"""Of the head with air around it, in mm: left to right, back to front, bottom to top."""

BRAIN = np.array([0.0, -10.0, 30.0])
"""Where the middle of the brain's view lies, in mm from the middle of the head's."""

BRIGHT: Mapping[str, Mapping[str, float]] = {
    "T1": {"fluid": 0.24, "bone": 0.10, "marrow": 0.80, "muscle": 0.50, "fat": 1.60, "skin": 0.60, "eye": 0.22},
    "FLAIR": {"fluid": 0.15, "bone": 0.08, "marrow": 0.40, "muscle": 0.50, "fat": 0.45, "skin": 0.70, "eye": 0.15},
}
"""White matter is 1. Fat is suppressed on FLAIR, as is usual."""

T = TypeVar("T", bound=np.generic)

STEP = 2.0
"""mm of the grid on which distances are taken; they are smooth."""


class Ellipsoid(NamedTuple):
    """In mm from the middle of the brain's view: forward, upward; sides alike."""

    center: tuple[float, float, float]
    radii: tuple[float, float, float]


FACE = Ellipsoid((0, 52, -62), (58, 48, 72))
NECK = ((0.0, -28.0), (56.0, 62.0))
"""Center and radii of a column that goes down out of the view."""
AIRWAYS = (
    Ellipsoid((0, 66, -62), (12, 26, 22)),  # nose
    Ellipsoid((26, 62, -66), (13, 15, 16)),  # maxillary sinuses
    Ellipsoid((-26, 62, -66), (13, 15, 16)),
    Ellipsoid((0, 20, -92), (10, 8, 50)),  # throat
)
EYES = (Ellipsoid((32, 74, -38), (12, 12, 12)), Ellipsoid((-32, 74, -38), (12, 12, 12)))
ORBITS = (Ellipsoid((30, 62, -38), (18, 28, 17)), Ellipsoid((-30, 62, -38), (18, 28, 17)))
CANAL = ((0.0, -42.0), (11.0, 10.0))
CORD = ((0.0, -42.0), (6.5, 5.5))


def shells(rng: Generator, brain: NDArray[np.bool_], detail: float) -> dict[str, Field]:
    """Shares 0–1 of what lies outside the brain, of voxels of the head of ``detail`` mm; what is left of 1 is air.

    Args:
        brain: in voxels of ``detail`` mm, over the brain's view.
    """
    shape = head_shape(detail)
    coarse = head_shape(STEP)
    x, y, z = np.meshgrid(*((np.arange(n) + 0.5) * STEP - e / 2 for n, e in zip(coarse, EXTENT, strict=True)),
                          indexing="ij", sparse=True)  # fmt: skip
    x, y, z = (axis - center for axis, center in zip((x, y, z), BRAIN, strict=True))
    inside = lambda e: sum(((a - c) / r) ** 2 for a, c, r in zip((x, y, z), *e, strict=True)) < 1
    column = lambda c: (sum(((a - m) / r) ** 2 for a, m, r in zip((x, y), *c, strict=True)) < 1) & (z < -35)
    view = [round(side / STEP) for side in VIEW]
    small = embed(resample(brain.astype(np.float32), view, order=1, coarse=None) > 0.5, STEP)

    # The hull has no sulci: what is farther than 12 mm from all that is farther than 12 mm from the brain.
    hull = distance(ndimage.distance_transform_edt(~small, sampling=STEP) < 12) < -12
    depth = distance(hull)
    skull = 8 + 1.5 * smooth(rng, coarse, 4)
    scalp = np.clip(5 + 2 * smooth(rng, coarse, 5), 2.5, None)
    solid = (depth < skull + scalp) | inside(_about(rng, FACE)) | column(NECK)
    solid = ndimage.gaussian_filter(solid.astype(np.float32), 2) > 0.5  # no creases
    # The view ends in the neck, and the neck does not: distances see it go on.
    padded = np.concatenate([np.repeat(solid[..., :1], 20, axis=2), solid], axis=2)
    out = distance(padded)[..., 20:]

    up = lambda field: resample(np.asarray(field, np.float32), shape, order=1, coarse=None)
    soft = lambda depth: 1 / (1 + np.exp(np.clip(np.float32(3) * depth, -30, 30)))  # below 0 is inside
    depth, out, skull, scalp = map(up, (depth, out, skull, scalp))
    marked = lambda shapes, mark: up(np.any([mark(each) for each in shapes], axis=0))
    parts = {name: np.zeros(shape, np.float32) for name in next(iter(BRIGHT.values()))}

    def lay(name: str | None, share: Field) -> None:
        """Over what was there before; air without a name."""
        for part in parts.values():
            part *= 1 - share
        if name:
            parts[name] += share

    lay("muscle", soft(out))
    lay("fat", soft(out) * (1 - soft(out + scalp)))
    lay("skin", soft(out) * (1 - soft(out + 1.8)))
    lay("fat", marked(ORBITS, inside) * soft(out + 2))
    lay("eye", marked(EYES, inside))
    lay(None, marked(AIRWAYS, inside))
    lay("bone", soft(depth - skull))
    marrow = (1 - soft(depth - 3.8)) * soft(depth - skull + 2)
    lay("marrow", marrow)
    lay("fluid", soft(depth - 1.8))
    lay("fluid", marked([CANAL], column) * (1 - soft(depth)))
    lay("muscle", marked([CORD], column) * (1 - soft(depth)))
    return parts


def head_shape(detail: float) -> tuple[int, ...]:
    return tuple(np.rint(EXTENT / detail).astype(int).tolist())


def embed(view: NDArray[T], detail: float) -> NDArray[T]:
    """An array over the brain's view, laid in zeros over the head's; both in voxels of ``detail`` mm."""
    whole = np.zeros(head_shape(detail), view.dtype)
    start = np.rint((EXTENT / 2 + BRAIN - VIEW / 2) / detail).astype(int)
    whole[tuple(slice(a, a + n) for a, n in zip(start, view.shape, strict=True))] = view
    return whole


def distance(mask: NDArray[np.bool_]) -> Field:
    """mm from a mask's surface, negative inside it."""
    outside, inside = (ndimage.distance_transform_edt(part, sampling=STEP) for part in (~mask, mask))
    return np.where(mask, STEP / 2 - inside, outside - STEP / 2).astype(np.float32)


def _about(rng: Generator, shape: Ellipsoid) -> Ellipsoid:
    radii = np.array(shape.radii) * rng.normal(1, 0.05, 3)
    return Ellipsoid(shape.center, tuple(radii.tolist()))
