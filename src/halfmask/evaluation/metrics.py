"""How well a predicted mask agrees with the true one: overlap, surface distance, volume and lesions found.

Masks are boolean (*spatial), 2D or 3D; ``spacing`` is in mm, one number an axis, in the array's order.

Of two empty masks the overlap and lesion metrics are 1, the distances and the volume error 0. If one mask is
empty, overlap and lesion metrics are 0 and the distances are NaN: no number is honest there, and
`halfmask.evaluation.table` counts and shows them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from halfmask.config import nearest

Mask = NDArray[np.bool_]

OVERLAP = ("dice", "iou", "precision", "recall", "f1")
DISTANCES = ("hd", "hd95", "assd", "hd95_directed", "masd")
VOLUME = ("volume_error", "volume_error_ml")
LESIONS = ("lesion_recall", "lesion_precision", "lesion_f1")
METRICS = (*OVERLAP, "hd", "hd95", "assd", *VOLUME, *LESIONS)
"""What `measure` gives unless told; ``hd95_directed`` and ``masd`` on request."""

UNITS = dict.fromkeys(DISTANCES, "mm")
"""The units of the metrics that have one and do not carry it in their name."""

MANY_POINTS = 150_000
"""Surface points of both masks from which a distance transform is used. A k-d tree may be faster even there
when the masks are alike, but is far slower when one lies deep inside the other, where most of one surface is
about as near (222k points: 13 s against 0.9 s)."""


def measure(
    prediction: NDArray[Any],
    label: NDArray[Any],
    *,
    spacing: Sequence[float],
    structures: Mapping[str, Sequence[int]],
    ignore: int | None = None,
    metrics: Sequence[str] = METRICS,
    min_overlap: float = 0.0,
) -> dict[str, dict[str, float]]:
    """The metrics of one case, by structure and metric.

    Args:
        prediction, label: (*spatial), whole numbers.
        structures: name → label values. Several values make a region, which is their union.
        ignore: the label value of voxels that nobody annotated. They are taken out of both masks before
            anything is measured: surfaces and lesions end where the annotation does, on both sides alike.
        metrics: which, of `OVERLAP`, `DISTANCES`, `VOLUME` and `LESIONS`; only what is asked for is computed.
        min_overlap: see `lesions`.
    """
    _check(prediction, label, spacing, structures, ignore, metrics)
    asked = set(metrics)
    result = {}
    for name, values in structures.items():
        predicted, true = _union(prediction, values), _union(label, values)
        if ignore is not None:
            predicted &= label != ignore
        found: dict[str, float] = {}
        if asked.intersection(OVERLAP):
            found |= overlap(predicted, true)
        if asked.intersection(DISTANCES):
            found |= distances(predicted, true, spacing)
        if asked.intersection(VOLUME):
            found |= volume(predicted, true, spacing)
        if asked.intersection(LESIONS):
            found |= lesions(predicted, true, min_overlap=min_overlap)
        result[name] = {metric: found[metric] for metric in metrics}
    return result


def overlap(prediction: Mask, label: Mask) -> dict[str, float]:
    """Voxels in common: Dice, IoU, precision, recall, each 0…1.

    ``f1``, of the voxels, is Dice by another name; papers print either.
    """
    common, predicted, true = _count(prediction & label), _count(prediction), _count(label)
    if not predicted and not true:
        return dict.fromkeys(OVERLAP, 1.0)
    dice = 2 * common / (predicted + true)
    return {
        "dice": dice,
        "iou": common / (predicted + true - common),
        "precision": common / predicted if predicted else 0.0,
        "recall": common / true if true else 0.0,
        "f1": dice,
    }


def distances(prediction: Mask, label: Mask, spacing: Sequence[float]) -> dict[str, float]:
    """Distances between the two surfaces in mm, 0 or more; NaN if one mask is empty.

    - ``hd``: Hausdorff distance, the greatest of all.
    - ``hd95``: the 95th percentile of both directions pooled, as medpy has it and papers print it.
    - ``hd95_directed``: the greater of the two directions' 95th percentiles (MONAI; Metrics Reloaded,
      Maier-Hein et al. 2024, arXiv:2206.01653). It is never less than ``hd95``.
    - ``assd``: the mean of both directions pooled (Heimann et al. 2009, MONAI).
    - ``masd``: the mean of the two directions' means.
    """
    if not (prediction.any() and label.any()):
        return dict.fromkeys(DISTANCES, np.nan if prediction.any() or label.any() else 0.0)
    there, back = surface_distances(prediction, label, spacing)
    both = np.concatenate([there, back])
    return {
        "hd": float(both.max()),
        "hd95": float(np.percentile(both, 95)),
        "assd": float(both.mean()),
        "hd95_directed": float(max(np.percentile(there, 95), np.percentile(back, 95))),
        "masd": float((there.mean() + back.mean()) / 2),
    }


def volume(prediction: Mask, label: Mask, spacing: Sequence[float]) -> dict[str, float]:
    """How much more than the truth was predicted; negative if less.

    ``volume_error`` is relative to the true volume (0.1: a tenth too much), NaN if only the truth is empty;
    ``volume_error_ml`` in ml, always a number. A 2D image counts as 1 mm thick.
    """
    true = _count(label)
    excess = _count(prediction) - true
    relative = excess / true if true else (np.nan if excess else 0.0)
    return {"volume_error": relative, "volume_error_ml": excess * float(np.prod(spacing)) / 1000}


def lesions(prediction: Mask, label: Mask, *, min_overlap: float = 0.0) -> dict[str, float]:
    """Lesions found, each counting once however large: recall, precision and their F1, each 0…1.

    A lesion is a connected component, by faces, edges and corners. Recall is the share of the true lesions
    that the prediction finds, precision the share of the predicted ones that the truth confirms.

    Args:
        min_overlap: the part of a lesion's voxels, 0…1, that must be in the other mask; one voxel at least.
    """
    if not prediction.any() and not label.any():
        return dict.fromkeys(LESIONS, 1.0)
    prediction, label = _crop(prediction, label)
    recall, precision = _found(label, prediction, min_overlap), _found(prediction, label, min_overlap)
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return {"lesion_recall": recall, "lesion_precision": precision, "lesion_f1": f1}


def surface_distances(
    prediction: Mask, label: Mask, spacing: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """From each surface voxel of one mask the distance in mm to the nearest of the other, and the way back.

    Distances are between voxel centers. Both masks must have voxels.
    """
    surfaces = [surface(mask) for mask in _crop(prediction, label)]
    if sum(map(_count, surfaces)) < MANY_POINTS:
        there, back = (np.argwhere(s) * np.asarray(spacing, float) for s in surfaces)
        # Voxel centers lie on a grid: halving space is as good as the median here, and a third faster.
        gap = lambda a, b: np.asarray(KDTree(b, leafsize=32, balanced_tree=False).query(a)[0])
        return gap(there, back), gap(back, there)
    there, back = surfaces
    depth = lambda s: ndimage.distance_transform_edt(~s, sampling=spacing)
    return depth(back)[there], depth(there)[back]


def surface(mask: Mask) -> Mask:
    """The mask's voxels that have a face in common with the outside; beyond the array all is outside."""
    padded = np.pad(mask, 1)  # so that nothing rolls over from the far side
    core = padded.copy()
    for axis in range(mask.ndim):
        for step in (1, -1):
            core &= np.roll(padded, step, axis)
    return (padded & ~core)[(slice(1, -1),) * mask.ndim]


def _count(mask: Mask) -> int:
    return int(np.count_nonzero(mask))  # else a NumPy number, which JSON refuses


def _found(lesion: Mask, other: Mask, min_overlap: float) -> float:
    """The share of the components of ``lesion`` that ``other`` overlaps enough; 0 if there are none."""
    component, count = ndimage.label(lesion, np.ones((3,) * lesion.ndim))
    size = np.bincount(component[lesion], minlength=count + 1)[1:]
    covered = np.bincount(component[lesion & other], minlength=count + 1)[1:]
    return float(np.mean((covered > 0) & (covered >= min_overlap * size))) if count else 0.0


def _crop(prediction: Mask, label: Mask) -> tuple[Mask, Mask]:
    """Both masks within the box of their union. Outside it all is background, so no margin is needed."""
    union = prediction | label
    for axis in range(union.ndim):
        others = tuple(a for a in range(union.ndim) if a != axis)
        used = np.flatnonzero(union.any(axis=others))
        box = (slice(None),) * axis + (slice(used[0], used[-1] + 1),)
        prediction, label, union = prediction[box], label[box], union[box]
    return prediction, label


def _union(image: NDArray[Any], values: Sequence[int]) -> Mask:
    mask = np.zeros(image.shape, bool)
    for value in values:
        mask |= image == value
    return mask


def _check(
    prediction: NDArray[Any],
    label: NDArray[Any],
    spacing: Sequence[float],
    structures: Mapping[str, Sequence[int]],
    ignore: int | None,
    metrics: Sequence[str],
) -> None:
    faults = []
    if prediction.shape != label.shape:
        faults.append(f"prediction has shape {prediction.shape}, label {label.shape}; were both resampled?")
    if len(spacing) != label.ndim or not all(0 < s < np.inf for s in spacing):
        faults.append(f"spacing {tuple(spacing)}: expected {label.ndim} lengths in mm above 0")
    faults += [
        f"structure {name!r} holds the ignored value {ignore}"
        for name, values in structures.items()
        if ignore is not None and ignore in values
    ]
    known = (*OVERLAP, *DISTANCES, *VOLUME, *LESIONS)
    faults += [f"no metric is called {m!r}; {nearest(m, known)}" for m in metrics if m not in known]
    if faults:
        raise ValueError("\n".join(faults))
