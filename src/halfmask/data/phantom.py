"""A made-up cohort of brains with lesions, to try everything on without any patient's data.

Skull-stripped heads in T1- and FLAIR-like contrast: folded cortex, white matter, deep gray nuclei,
ventricles, cerebellum; a smooth bias field, noise, and contrasts that differ between subjects. Lesions are
bright on FLAIR and lie in white matter, mostly beside the ventricles. As bright, but no lesions, are spots in
the cortex, the choroid plexus within the ventricles and artifacts in brainstem and cerebellum; a rim around
the ventricles is half as bright. So place tells, and brightness alone does not: the best threshold of each
case, found with the label at hand, has a mean lesion Dice of 0.35.

Anatomy is put together from depths in mm below simple surfaces, in a warped space. It models no real anatomy
and no disease: figures on it say nothing about patients.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from halfmask.config import nearest
from halfmask.data.atomic import atomic, write_text
from halfmask.data.volume import resample

Field = NDArray[np.floating]
"""One number a voxel, (*spatial). A depth is in mm below a surface, negative outside."""

VIEW = np.array([160.0, 180.0, 160.0])
"""Field of view in mm: left to right, back to front, bottom to top. With the shape it gives the spacing."""

LABELS = {0: "background", 1: "lesion", 2: "ventricles"}

CONTRAST = {
    "T1": {"fluid": 0.22, "gray": 0.58, "white": 1.00, "nuclei": 0.80, "lesion": 0.75, "spot": 0.70},
    "FLAIR": {"fluid": 0.25, "gray": 0.82, "white": 0.60, "nuclei": 0.74, "lesion": 1.02, "spot": 1.04},
}
"""Brightness by channel and tissue."""


@dataclass(frozen=True)
class Phantom:
    """One subject.

    Attributes:
        image: (C, *spatial) int16, 0 outside the brain.
        label: (*spatial) uint8, values of `LABELS`.
        spacing: mm along each axis.
    """

    image: NDArray[np.int16]
    label: NDArray[np.uint8]
    spacing: tuple[float, float, float]


def make_phantoms(
    folder: str | os.PathLike[str],
    *,
    subjects: int = 24,
    labeled: int = 8,
    test: int = 6,
    shape: Sequence[int] = (64, 72, 64),
    seed: int = 0,
    channels: Sequence[str] = ("T1", "FLAIR"),
) -> Path:
    """Write a cohort as a Medical Segmentation Decathlon data set and return its folder.

    The first ``test`` subjects are test cases, the next ``labeled`` have labels, the rest have none: more
    subjects or labels change neither the test cases nor any image. The same arguments give the same bytes.
    ``dataset.json`` is written last, so a folder that has it is complete. It replaces an earlier cohort.

    Args:
        shape: voxels along each axis; (96, 108, 24), for example, makes thick slices.
        channels: of `CONTRAST`. Images of one channel are 3D, of more 4D with channels last.
    """
    _check(subjects, labeled, test, shape, channels)
    folder = Path(folder)
    for old in (folder / "dataset.json", *folder.glob("*T[rs]/phantom_*.nii.gz")):
        old.unlink(missing_ok=True)
    cases = []
    for subject in range(subjects):
        phantom = draw(subject, shape=shape, seed=seed, channels=channels)
        name = f"{'Ts' if subject < test else 'Tr'}/phantom_{subject:03d}.nii.gz"
        cases.append({"image": f"./images{name}"})
        image = phantom.image[0] if len(channels) == 1 else np.moveaxis(phantom.image, 0, -1)
        _write(folder / f"images{name}", image, phantom.spacing)
        if subject < test + labeled:
            cases[-1]["label"] = f"./labels{name}"
            _write(folder / f"labels{name}", phantom.label, phantom.spacing)
    about = {
        "name": "Phantom",
        "description": "Made-up brains with lesions, by halfmask",
        "tensorImageSize": "3D" if len(channels) == 1 else "4D",
        "modality": {str(i): channel for i, channel in enumerate(channels)},
        "labels": {str(value): name for value, name in LABELS.items()},
        "numTraining": subjects - test,
        "numTest": test,
        "training": cases[test:],
        "test": cases[:test],
    }
    write_text(folder / "dataset.json", json.dumps(about, indent=2) + "\n")
    return folder


def draw(
    subject: int,
    *,
    shape: Sequence[int] = (64, 72, 64),
    seed: int = 0,
    channels: Sequence[str] = ("T1", "FLAIR"),
) -> Phantom:
    """One subject, a function of (seed, subject) alone.

    Another shape samples the same brain, with most lesions in the same places; a channel does not depend on
    which others there are.
    """
    spacing = VIEW / shape
    softness = 0.35 * float(spacing.mean())
    share = lambda depth: 1 / (1 + np.exp(np.clip(-depth / softness, -30, 30)))  # of a voxel: partial volume
    brain, tissues = _anatomy(np.random.default_rng((seed, subject)), shape)
    shares = {name: share(depth) for name, depth in tissues.items()}
    shares["rim"] = 0.4 * share(tissues["fluid"] + 3)
    image = np.zeros((len(channels), *shape), np.int16)
    for i, channel in enumerate(channels):
        # From 1: to NumPy (seed, subject, 0) is the same seed as (seed, subject).
        rng = np.random.default_rng((seed, subject, 1 + list(CONTRAST).index(channel)))
        image[i] = np.where(brain > -1.5, _picture(rng, CONTRAST[channel], shares), 0)
    label = np.zeros(shape, np.uint8)
    label[tissues["fluid"] > 0] = 2
    label[tissues["lesion"] > 0] = 1
    return Phantom(image, label, tuple(spacing.tolist()))


def _picture(rng: Generator, contrast: Mapping[str, float], shares: Mapping[str, Field]) -> Field:
    """What the scanner shows of the tissues, each laid over those before by its share of the voxel."""
    shape = shares["gray"].shape
    bright = {tissue: value * rng.normal(1, 0.05) for tissue, value in contrast.items()}
    bright["rim"] = bright["spot"]
    image = np.full(shape, bright["fluid"], np.float32)
    for tissue in ("gray", "white", "nuclei", "rim", "fluid", "lesion", "spot"):
        texture = 1 + 0.12 * _smooth(rng, shape, 18) if tissue in ("lesion", "spot") else 1
        image += shares[tissue] * (bright[tissue] * texture - image)
    image = np.clip(image, 0, None) ** rng.uniform(0.85, 1.2)
    image *= np.exp(0.15 * _smooth(rng, shape, 3))  # bias field
    noise = rng.normal(0, rng.uniform(0.04, 0.08), (2, *shape))
    return rng.uniform(400, 1200) * np.hypot(image + noise[0], noise[1])  # Rician


def _anatomy(rng: Generator, shape: Sequence[int]) -> tuple[Field, Mapping[str, Field]]:
    """Depth in the brain, and in each tissue; where two overlap the later counts."""
    axes = ((np.arange(n) + 0.5) / n * v - v / 2 for n, v in zip(shape, VIEW, strict=True))
    x, y, z = (
        (axis / rng.normal(1, 0.025) + 3.5 * _smooth(rng, shape, 4)).astype(np.float32)
        for axis in np.meshgrid(*axes, indexing="ij")
    )
    side = np.sqrt(x**2 + 1)  # distance from the midplane: what is placed by it comes on both sides
    whole, half = (x, y, z), (side, y, z)

    cerebrum = np.maximum(
        np.minimum(_ellipsoid(whole, (0, 0, 8), (64, 78, 59)), z + 22),
        _ellipsoid(half, (40, 8, -20), (25, 38, 22)),
    )
    stem = _ellipsoid(whole, (0, -22, -42), (12, 12, 34))
    cerebellum = _ellipsoid(half, (22, -48, -38), (30, 27, 20))
    below = np.maximum(stem, cerebellum)
    # Sulci are where a random field changes sign, down to some depth.
    sulci = 7 * np.abs(_smooth(rng, shape, 16)) + np.maximum(0, cerebrum - 18)
    folia = 4 * np.abs(_smooth(rng, shape, 24)) + np.maximum(0, cerebellum - 12) + np.maximum(0, stem)
    fissure = side - 1.9 + np.where(np.abs(y) < 45, np.maximum(0, 22 - z), 0)
    pial = np.maximum(np.minimum.reduce([cerebrum, sulci, fissure]), np.minimum(below, folia))

    width = rng.uniform(3.5, 8)
    horns = [(11, 30, 4), (10, 8, 17), (14, -22, 16), (26, -42, 2), (32, -12, -16)]
    third = _ellipsoid(whole, (0, 0, 0), (1 + width / 3, 14, 11))
    ventricles = np.maximum(width - _to_path(half, horns), third)
    nuclei = np.maximum.reduce(
        [
            _ellipsoid(half, (27, 4, 2), (6, 18, 11)),  # putamen and pallidum
            _ellipsoid(half, (9, -14, 5), (8, 13, 9)),  # thalamus
            _ellipsoid(half, (16, 20, 8), (5, 10, 9)),  # caudate
        ]
    )
    white = np.minimum.reduce([pial - 4.5, -ventricles, -nuclei])

    rough = _smooth(rng, shape, 20)
    blobs = lambda allowed, count, radius: _blobs(rng, whole, rough, allowed, count, radius)
    lesion = np.maximum(
        blobs((white > 1) & (ventricles > -9) & (z > -8), rng.poisson(6) + 2, 5.5),
        blobs((white > 2) & (z > 0), rng.poisson(3), 4.0),
    )
    spot = np.maximum.reduce(
        [
            np.minimum(blobs((pial > 1) & (pial < 3) & (z > -10), rng.poisson(6) + 2, 4.0), 4.5 - pial),
            np.minimum(blobs((ventricles > 1) & (y < -15), 3, 4.0), ventricles - 0.5),  # choroid plexus
            np.minimum(blobs(below > 5, rng.poisson(2) + 1, 4.5), below),
        ]
    )
    tissues = {"gray": pial - 0.5, "white": pial - 4.5, "nuclei": nuclei, "fluid": ventricles}
    tissues |= {"lesion": np.minimum(lesion, white), "spot": spot}
    return np.maximum(cerebrum, below), tissues


def _smooth(rng: Generator, shape: Sequence[int], cells: int) -> Field:
    """A random smooth field about 0, of deviation a little under 1, with ``cells`` bumps along each axis."""
    return resample(rng.standard_normal((cells,) * 3), shape, order=3, coarse=None)


def _ellipsoid(place: Sequence[Field], center: Sequence[float], radii: Sequence[float]) -> Field:
    """Depth below an ellipsoid's surface, to first order."""
    scaled = [(axis - c) / r for axis, c, r in zip(place, center, radii, strict=True)]
    radius = np.sqrt(sum(s**2 for s in scaled)) + 1e-3
    slope = np.sqrt(sum((s / r) ** 2 for s, r in zip(scaled, radii, strict=True))) / radius
    return (1 - radius) / (slope + 1e-3)


def _to_path(place: Sequence[Field], points: Sequence[Sequence[float]]) -> Field:
    """Distance in mm to a chain of straight lines."""
    point = np.stack(place)
    column = lambda p: np.array(p, np.float32).reshape(3, 1, 1, 1)
    found: list[Field] = []
    for start, end in zip(map(column, points), map(column, points[1:]), strict=False):
        line = end - start
        along = np.clip(((point - start) * line).sum(0) / (line**2).sum(), 0, 1)
        found.append(np.sqrt(((point - start - along * line) ** 2).sum(0)))
    return np.minimum.reduce(found)


def _blobs(
    rng: Generator,
    place: Sequence[Field],
    rough: Field,
    allowed: NDArray[np.bool_],
    count: int,
    radius: float,
) -> Field:
    """Depth in uneven blobs of about that radius in mm, with their centers where allowed."""
    depth = np.full(allowed.shape, -99, np.float32)
    for _ in range(count):
        # Points of the view, not voxels of the grid, so that other shapes get much the same blobs.
        voxel = (rng.random((2000, 3)) * allowed.shape).astype(int)
        chosen = tuple(voxel[allowed[tuple(voxel.T)].argmax()])
        size, stretch = radius * np.exp(rng.normal(0, 0.35)), np.exp(rng.normal(0, 0.25, 3))
        away = np.sqrt(sum(((axis - axis[chosen]) / s) ** 2 for axis, s in zip(place, stretch, strict=True)))
        depth = np.maximum(depth, size * (1 + 0.4 * rough) - away)
    return depth


def _write(path: Path, array: NDArray[np.generic], spacing: Sequence[float]) -> None:
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = (np.asarray(spacing) - VIEW) / 2  # the view's center is the origin
    image = nibabel.Nifti1Image(array, affine)
    image.set_sform(affine, code="scanner")
    image.set_qform(affine, code="scanner")
    image.header.set_xyzt_units("mm")
    with atomic(path) as partial:
        nibabel.save(image, partial)


def _check(subjects: int, labeled: int, test: int, shape: Sequence[int], channels: Sequence[str]) -> None:
    faults = [f"no channel is called {c!r}; {nearest(c, CONTRAST)}" for c in channels if c not in CONTRAST]
    if not channels or len(shape) != 3 or min(shape) < 8:
        faults.append(f"shape {tuple(shape)}, {len(channels)} channels: expected 3 axes of 8 or more, and a channel")
    if test + labeled > subjects or min(test, labeled) < 0:
        faults.append(f"{test} test and {labeled} labeled cases cannot be had from {subjects} subjects")
    if faults:
        raise ValueError("\n".join(faults))
