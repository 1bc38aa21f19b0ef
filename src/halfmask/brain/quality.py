"""Whether what was done to a subject can be believed: figures, and what of them is suspicious."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import SimpleITK as sitk

from halfmask.brain.image import as_array
from halfmask.brain.registration import Registration

VOLUME = (900.0, 2000.0)
"""ml of an adult's brain with its fluid, least and most."""
SHARED = 0.05
"""The least information, normalized, that a modality shares with the first."""
MOVED, TURNED = 25.0, 20.0
"""Most mm and degrees by which a subject moves between two scans of one session."""
TURNED_FAR = 45.0
"""Most degrees between a head and the reference."""
OVERLAP = 0.9
"""The least share of the smaller of two brains, the subject's and the reference's, that lies in the other."""
CUT = 0.02
"""The largest share of the brain's surface that may lie on the border of the scan: the spinal cord leaves it there."""
UNSEEN = 0.01
"""The largest share of the brain that may lie outside what a modality shows."""
STRIPPED = 0.02
"""The largest share of a label that may lie outside the brain."""
NEIGHBORS = 6.0
"""mm to each side, where a registered image shares less than in its place."""


def shared_information(one: np.ndarray, other: np.ndarray, bins: int = 48) -> float:
    """Of two images at the same voxels (n,): 0 if one tells nothing of the other, to 1 (2 I / (H₁ + H₂))."""
    ends = [np.percentile(a, (0.5, 99.5)) for a in (one, other)]
    a, b = (np.clip(values, *e) for values, e in zip((one, other), ends, strict=True))
    joint = np.histogram2d(a, b, bins=bins)[0] / max(1, one.size)
    entropy = lambda p: -float((p[p > 0] * np.log(p[p > 0])).sum())
    both = entropy(joint.sum(0)) + entropy(joint.sum(1))
    return 2 * (both - entropy(joint)) / both if both > 0 else 0.0


def beats_neighbors(first: np.ndarray, other: np.ndarray, inside: np.ndarray, spacing: float) -> bool:
    """Whether two volumes (x, y, z) share more as they lie than with one moved by `NEIGHBORS` along any axis."""
    step, every = round(NEIGHBORS / spacing), (slice(None, None, 2),) * 3
    here = shared_information(first[every][inside[every]], other[every][inside[every]])
    moved = (np.roll(other, way * step, axis)[every][inside[every]] for axis in range(3) for way in (-1, 1))
    return all(here > shared_information(first[every][inside[every]], shifted) for shifted in moved)


def overlap(mask: sitk.Image, reference: sitk.Image) -> float:
    """Of two masks on one grid, the share of the smaller that lies in the other."""
    a, b = as_array(mask) > 0, as_array(reference) > 0
    return float((a & b).sum() / max(1, min(a.sum(), b.sum())))


def cut_off(mask: sitk.Image) -> float:
    """The share of a brain's surface, in mm², that lies on the border of the field of view."""
    inside, spacing = as_array(mask) > 0, mask.GetSpacing()
    face = np.prod(spacing) / np.array(spacing)  # mm² of a voxel's face across each axis
    on_border = sum(face[a] * int(inside.take([0, -1], a).sum()) for a in range(3))
    within = sum(face[a] * int((np.diff(inside.astype(np.int8), axis=a) != 0).sum()) for a in range(3))
    return float(on_border / max(on_border + within, 1e-9))


def suspicions(
    *,
    milliliters: float,
    stripped: bool,
    cut: float,
    aligned: Mapping[str, Registration | None],
    centers: tuple[float, float, float],
    shared: Mapping[str, float],
    in_place: Mapping[str, bool],
    unseen: Mapping[str, float],
    to_reference: Registration | None,
    overlapping: float | None,
    lost: float | None,
) -> list[str]:
    """What a person should look at, each with its figure; empty if nothing stands out."""
    found = []
    if stripped and not VOLUME[0] <= milliliters <= VOLUME[1]:
        found.append(f"the brain has {milliliters:.0f} ml, {VOLUME[0]:.0f} to {VOLUME[1]:.0f} are expected")
    if not stripped and to_reference is not None and milliliters > VOLUME[1]:
        found.append(f"what is not air has {milliliters:.0f} ml: with its skull it cannot be brought to a brain")
    if stripped and cut > CUT:
        found.append(f"{cut:.0%} of the brain's surface lies on the border of the scan: is it cut off?")
    for name, moved in aligned.items():
        if moved is not None and (moved.shift(centers) > MOVED or moved.degrees > TURNED):
            found.append(
                f"{name} was moved by {moved.shift(centers):.0f} mm and turned by {moved.degrees:.0f}° to the first"
            )
    found += [f"{name} shares little with the first modality ({share:.2f}, at least {SHARED} is expected)"
              for name, share in shared.items() if share < SHARED]  # fmt: skip
    found += [f"{name} shares more with the first modality when it is moved by {NEIGHBORS:.0f} mm: not well registered"
              for name, well in in_place.items() if not well]  # fmt: skip
    found += [f"{share:.0%} of the brain lies outside what {name} shows"
              for name, share in unseen.items() if share > UNSEEN]  # fmt: skip
    if to_reference is not None and to_reference.degrees > TURNED_FAR:
        found.append(f"the head was turned by {to_reference.degrees:.0f}° to the reference")
    if overlapping is not None and overlapping < OVERLAP:
        found.append(f"{overlapping:.0%} of the brain lies in the reference's, at least {OVERLAP:.0%} is expected")
    if lost is not None and lost > STRIPPED:
        found.append(f"{lost:.0%} of the labeled voxels lie outside the brain and are cut off")
    return found
