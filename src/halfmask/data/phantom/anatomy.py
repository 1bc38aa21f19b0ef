"""A subject's tissues: a healthy brain with lesions and with what merely looks like them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from halfmask.data.phantom.blobs import blobs
from halfmask.data.phantom.healthy import VIEW, healthy, smooth, tentorium
from halfmask.data.phantom.lesions import LESIONS
from halfmask.data.phantom.template import Field

COARSE = (40, 45, 40)
"""The shape on which the places of lesions are drawn, so that other shapes show the same ones."""


@dataclass(frozen=True)
class Tissues:
    """Shares of each voxel, 0–1, (*spatial).

    Attributes:
        gray, white, fluid: together 1.
        ventricles: the lateral ventricles, part of ``fluid``.
        lesion: laid over the tissues before.
        spot: bright as lesions but none: choroid plexus, patches of cortex, artifacts in the posterior fossa.
        rim: around the ventricles, paler.
        brain: inside the skull; what remains after skull stripping.
    """

    gray: Field
    white: Field
    fluid: Field
    ventricles: Field
    lesion: Field
    spot: Field
    rim: Field
    brain: Field


def anatomy(rng: Generator, shape: Sequence[int], lesions: str = "few") -> Tissues:
    """Draw a subject, with lesions by a model of `LESIONS`."""
    spacing = tuple((VIEW / shape).tolist())
    softness = 0.35 * float(np.mean(spacing))
    share = lambda depth: 1 / (1 + np.exp(np.clip(-depth / softness, -30, 30)))  # of a voxel: partial volume
    seed = rng.integers(2**63)
    here = healthy(np.random.default_rng(seed), shape)
    at = healthy(np.random.default_rng(seed), COARSE)  # where lesions may be, whatever the shape
    rough = smooth(rng, shape, 20)

    def draw(allowed: NDArray[np.bool_], count: int, volume: float, spread: float) -> Field:
        return blobs(rng, spacing, rough, allowed, volume * np.exp(rng.normal(0, spread, count)))

    _, y, z = at.place
    lesion = LESIONS[lesions](rng, spacing, rough, at, here)
    # Lesions end at the cortex and at the ventricles, not at sharp walls.
    lesion = np.minimum(lesion, 6 * (here.white - 0.35))
    cortex = draw((at.gray > 0.6) & (z > -18), 8 + rng.poisson(10), 400, 0.6)
    plexus = draw((at.ventricles > 0.5) & (y < -15), 4, 250, 0.3)
    below = draw(tentorium(at.place) & (at.brain > 0.9) & (at.fluid < 0.3), 1 + rng.poisson(2), 350, 0.5)
    spot = np.maximum.reduce(
        [np.minimum(cortex, 6 * (here.gray - 0.4)), np.minimum(plexus, 6 * (here.ventricles - 0.4)), below]
    )
    return Tissues(
        gray=here.gray,
        white=here.white,
        fluid=here.fluid,
        ventricles=here.ventricles,
        lesion=share(lesion),
        spot=share(spot),
        rim=0.5 * share(2.5 - here.away) * here.white,
        brain=np.clip(here.brain + 0.1 * smooth(rng, shape, 12), 0, 1),
    )
