"""Raw scans of made-up heads: T1 and FLAIR each on its own grid, with the truth that tools for raw scans look for."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from halfmask.data.atomic import write_text
from halfmask.data.phantom.anatomy import Tissues, anatomy
from halfmask.data.phantom.head import BRAIN, BRIGHT, EXTENT, embed, shells
from halfmask.data.phantom.healthy import VIEW, healthy, smooth
from halfmask.data.phantom.scan_file import write_scan
from halfmask.data.phantom.scanner import SCANNERS, contrast
from halfmask.data.phantom.template import Field

SPACING = {"T1": (1.0, 1.0, 1.0), "FLAIR": (0.72, 0.72, 3.0)}
COVER = np.array([220.0, 240.0, 190.0])
"""mm that a scan covers, left to right, back to front, and down from the top; the lower neck is left out."""


@dataclass(frozen=True)
class Scan:
    """``image`` (*spatial) int16, and the ``affine`` (4, 4) from its voxels to millimeters, RAS+."""

    image: NDArray[np.int16]
    affine: NDArray[np.floating]


@dataclass(frozen=True)
class Head:
    """One subject.

    Attributes:
        scans: by channel; voxels run to the left, posterior and superior, as scanners write them.
        brain: (*spatial) uint8, on T1's grid.
        lesions: (*spatial) uint8, on FLAIR's grid.
        flair_to_t1: (4, 4), from millimeters of the FLAIR scan to those of the T1 scan; the head moved in between.
        t1_to_template: (4, 4), from millimeters of the T1 scan to those of the template: the affine that fits the
            brain best, as the brain is also bent.
    """

    scans: Mapping[str, Scan]
    brain: NDArray[np.uint8]
    lesions: NDArray[np.uint8]
    flair_to_t1: NDArray[np.floating]
    t1_to_template: NDArray[np.floating]


def make_heads(
    folder: str | os.PathLike[str],
    *,
    subjects: int = 4,
    seed: int = 0,
    spacing: Mapping[str, Sequence[float]] = SPACING,
    detail: float = 1.0,
) -> Path:
    """Write raw heads as loose files, ``subject_000_T1.nii.gz``, …``_FLAIR`` and …``_lesions`` (on FLAIR's grid).

    ``truth/`` has the brain on T1's grid, and as text the matrices of `Head`. Arguments as of `draw_head`.
    """
    folder = Path(folder)
    for subject in range(subjects):
        head, name = draw_head(subject, seed=seed, spacing=spacing, detail=detail), f"subject_{subject:03d}"
        for channel, scan in head.scans.items():
            write_scan(folder / f"{name}_{channel}.nii.gz", scan.image, scan.affine)
        write_scan(folder / f"{name}_lesions.nii.gz", head.lesions, head.scans["FLAIR"].affine)
        write_scan(folder / "truth" / f"{name}_brain.nii.gz", head.brain, head.scans["T1"].affine)
        for key in ("flair_to_t1", "t1_to_template"):
            rows = [" ".join(f"{value:.6f}" for value in row) for row in getattr(head, key)]
            write_text(folder / "truth" / f"{name}_{key}.txt", "\n".join(rows) + "\n")
    return folder


def draw_head(
    subject: int,
    *,
    seed: int = 0,
    spacing: Mapping[str, Sequence[float]] = SPACING,
    detail: float = 1.0,
    scanner: str = "3T",
) -> Head:
    """One subject, a function of (seed, subject) alone.

    Args:
        spacing: mm of the voxels of T1 and FLAIR: to the left, posterior, superior.
        detail: mm in which the head is made before the scans are taken from it; 1, 2, 2.5 or 5.
    """
    shape = np.rint(VIEW / detail).astype(int).tolist()
    tissues = anatomy(np.random.default_rng((seed, subject)), shape, SCANNERS[scanner].lesions)
    brain = _largest(tissues.brain > 0.5)
    rng = np.random.default_rng((seed, subject, 10))
    around = shells(rng, brain, detail)
    pose = _rigid(rng, 8, 6)  # of the head in the scanner, from its own millimeters
    moved = _rigid(rng, 6, 5)  # from the T1 scan's to the FLAIR scan's
    from_scan = {"T1": np.linalg.inv(pose), "FLAIR": np.linalg.inv(moved @ pose)}
    scans, masks = {}, {}
    for number, (channel, name, mask) in enumerate(
        (("T1", "brain", brain), ("FLAIR", "lesions", (tissues.lesion > 0.5) & brain)), 11
    ):
        rng = np.random.default_rng((seed, subject, number))
        field = _field(rng, tissues, brain, around, channel, scanner, detail)
        size = np.asarray(spacing[channel], float)
        affine = _grid(size)
        take = lambda whole: _take(whole, size, from_scan[channel] @ affine, detail)  # noqa: B023
        scans[channel] = Scan(_noisy(rng, take(field), SCANNERS[scanner].noise, SCANNERS[scanner].level), affine)
        masks[name] = (take(embed(mask.astype(np.float32), detail)) > 0.5).astype(np.uint8)
    return Head(
        scans=scans,
        brain=masks["brain"],
        lesions=masks["lesions"],
        flair_to_t1=np.linalg.inv(moved),
        t1_to_template=_fit(seed, subject) @ np.linalg.inv(pose),
    )


def _field(
    rng: Generator, tissues: Tissues, brain: NDArray[np.bool_], around: dict[str, Field], channel: str, scanner: str,
    detail: float,
) -> Field:  # fmt: skip
    """How bright the head is, before a scan samples it; with the bias field of the coil."""
    bright = {name: value * rng.normal(1, 0.06) for name, value in BRIGHT[channel].items()}
    field = sum((share * bright[name] for name, share in around.items()), start=np.zeros((1, 1, 1), np.float32))
    field = field * (1 + 0.12 * smooth(rng, field.shape, 24) + 0.12 * smooth(rng, field.shape, 60))
    inner = embed(contrast(rng, SCANNERS[scanner], channel, tissues).astype(np.float32), detail)
    field = np.where(embed(brain, detail), inner, field)
    field = ndimage.gaussian_filter(field, np.asarray(SCANNERS[scanner].blur[0]) / 2.355 / detail)
    return field * np.exp(1.5 * SCANNERS[scanner].bias * smooth(rng, field.shape, 3))


def _grid(size: NDArray[np.floating]) -> NDArray[np.floating]:
    """Of voxels to the left, posterior and superior, over `COVER` from the top of the view."""
    affine = np.diag([-size[0], -size[1], size[2], 1.0])
    count = _count(size)
    top = EXTENT[2] / 2
    affine[:3, 3] = (size[0] * (count[0] - 1) / 2, size[1] * (count[1] - 1) / 2, top - size[2] * (count[2] - 0.5))
    return affine


def _count(size: NDArray[np.floating]) -> tuple[int, ...]:
    return tuple(np.rint(COVER / size).astype(int).tolist())


def _take(whole: Field, size: NDArray[np.floating], to_head: NDArray[np.floating], detail: float) -> Field:
    """What voxels of ``size`` mm see of the head: its mean over about their size, (*spatial)."""
    extra = np.sqrt(np.clip(size**2 - detail**2, 0, None)) / np.sqrt(12) / detail  # deviation of a box
    to_voxel = np.diag([1 / detail] * 3 + [1.0])
    to_voxel[:3, 3] = EXTENT / 2 / detail - 0.5
    matrix = to_voxel @ to_head
    return ndimage.affine_transform(
        ndimage.gaussian_filter(whole, extra), matrix[:3, :3], matrix[:3, 3], _count(size), order=1, output=np.float32
    )


def _noisy(rng: Generator, image: Field, noise: tuple[float, float], level: tuple[float, float]) -> NDArray[np.int16]:
    parts = rng.standard_normal((2, *image.shape), dtype=np.float32) * np.float32(rng.uniform(*noise))
    return np.rint(rng.uniform(*level) * np.hypot(image + parts[0], parts[1])).astype(np.int16)  # Rician


def _rigid(rng: Generator, degrees: float, mm: float) -> NDArray[np.floating]:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", rng.uniform(-degrees, degrees, 3), degrees=True).as_matrix()
    matrix[:3, 3] = rng.uniform(-mm, mm, 3)
    return matrix


def _fit(seed: int, subject: int) -> NDArray[np.floating]:
    """From millimeters of the head to the template's: least squares over the brain, on a coarse grid."""
    shape = (40, 45, 40)
    # As `anatomy` draws it.
    here = healthy(np.random.default_rng(np.random.default_rng((seed, subject)).integers(2**63)), shape)
    inside = here.brain > 0.5
    mm = (np.argwhere(inside) + 0.5) * (VIEW / shape) - VIEW / 2 + BRAIN
    solution = np.linalg.lstsq(np.c_[mm, np.ones(len(mm))], here.place[:, inside].T, rcond=None)[0]
    return np.vstack([solution.T, [0, 0, 0, 1]])


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    parts, count = ndimage.label(mask)
    sizes = ndimage.sum(mask, parts, range(1, count + 1))
    return ndimage.binary_fill_holes(parts == 1 + int(np.argmax(sizes)))
