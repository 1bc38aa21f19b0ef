"""How many lesions a subject has, how large, where: two models.

Each gives a depth in mm, (*spatial), for the brain ``here``. Places are drawn in ``at``, the same brain on a coarse
grid, so that other shapes show the same lesions. ``rough`` is a smooth field about 0 that makes surfaces uneven.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from halfmask.data.phantom.blobs import blobs
from halfmask.data.phantom.healthy import Healthy, smooth, tentorium
from halfmask.data.phantom.template import Field


def few(rng: Generator, spacing: Sequence[float], rough: Field, at: Healthy, here: Healthy) -> Field:
    """For coarse voxels: about 20, of 0.8 ml beside the ventricles and of 0.1 ml elsewhere."""

    def draw(allowed: NDArray[np.bool_], count: int, volume: float, spread: float) -> Field:
        return blobs(rng, spacing, rough, allowed, volume * np.exp(rng.normal(0, spread, count)))

    inside = (at.white > 0.6) & (at.place[2] > -18)
    burden = np.exp(rng.normal(0, 0.6))
    return np.maximum(
        draw(inside & (at.away < 5), 3 + rng.poisson(6 * burden), 800, 0.9),
        draw(inside, 3 + rng.poisson(12 * burden), 120, 0.8),
    )


def measured(rng: Generator, spacing: Sequence[float], rough: Field, at: Healthy, here: Healthy) -> Field:
    """As 30 people with multiple sclerosis have them: dozens of small ones, and a few large that have grown together.

    Numbers fit manual masks (Lesjak et al., Neuroinformatics 16:51, 2018) by number, volume and place, distance from
    the ventricles, axes and unevenness; how well, ``benchmarks/lesion_statistics.py`` tells.
    """
    load = np.exp(rng.normal(np.log(11000), 1.2))
    burden = (load / 11000) ** 0.7 * np.exp(rng.normal(-0.3, 0.6))
    uneven = 0.8 * rough + 1.2 * smooth(rng, rough.shape, 50)
    together = _together(rng, here, min(load, 40000) / float(np.prod(spacing)))

    def draw(allowed: NDArray[np.bool_], count: int, volume: float, spread: float) -> Field:
        volumes = volume * np.exp(rng.normal(0, spread, rng.poisson(count * burden)))
        return blobs(rng, spacing, uneven, allowed, np.clip(volumes, 3, 3000), stretch=0.55)

    below = tentorium(at.place)
    white, junction = (at.white > 0.6) & ~below, (at.white > 0.3) & (at.gray > 0.25) & ~below
    return np.maximum.reduce(
        [
            together,
            draw(white & (at.away < 6), 3, 40, 1.4),
            draw(junction & (at.away > 6) & (at.away < 28), 21, 26, 1.2),
            draw(white & (at.away > 5) & (at.away < 32), 42, 14, 1.0),
            draw((at.white > 0.6) & below, 6, 27, 1.2),
        ]
    )


def _together(rng: Generator, here: Healthy, voxels: float) -> Field:
    """So many voxels of white matter where a random field is highest that falls off from the ventricles."""
    y = here.place[1]
    field = 1.1 * smooth(rng, y.shape, 12) + 1.1 * smooth(rng, y.shape, 34)
    field = field - np.abs(here.away - 3) / 9 - 0.5 * ((y + 26) / 38) ** 2
    above = here.place[2] > -10
    inside = np.sort(field[above & (here.white > 0.5)])
    least = inside[max(0, len(inside) - 1 - int(voxels))]
    return np.where(above, 3 * (field - least), -99)  # the field changes by 1 in about 3 mm


LESIONS = {"few": few, "measured": measured}
