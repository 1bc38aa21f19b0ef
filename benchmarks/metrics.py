"""HD95 + ASSD of two masks in a volume of 182×218×182: ours against MONAI, medpy and transforms of the whole volume.

    python benchmarks/metrics.py [--rounds 5]

"Whole volume" is medpy's way, but with its two distance transforms shared between the metrics. MONAI's HD95 is the
greater of both directions (our ``hd95_directed``); each rival is compared with ours of the same definition. medpy is
GPL: it is measured where it is installed, never needed. One thread, unless OMP_NUM_THREADS says otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance
from scipy import ndimage
from turns import Row, arguments, by_turns, compare, finish

from halfmask.evaluation.metrics import Mask, distances

try:
    from medpy.metric import binary as medpy_binary
except ImportError:
    medpy_binary = None

SHAPE, SPACING = (182, 218, 182), (1.0, 1.0, 1.0)

Measure = Callable[[Mask, Mask, Sequence[float]], dict[str, float]]
"""Some of the metrics of `distances`, by their names there."""


def whole_volume(prediction: Mask, label: Mask, spacing: Sequence[float]) -> dict[str, float]:
    def directed(a: Mask, b: Mask) -> np.ndarray:
        border = lambda m: m ^ ndimage.binary_erosion(m)
        return ndimage.distance_transform_edt(~border(b), sampling=spacing)[border(a)]

    both = np.concatenate([directed(prediction, label), directed(label, prediction)])
    return {"hd95": float(np.percentile(both, 95)), "assd": float(both.mean())}


def monai(prediction: Mask, label: Mask, spacing: Sequence[float]) -> dict[str, float]:
    both = {"y_pred": torch.from_numpy(prediction)[None, None], "y": torch.from_numpy(label)[None, None]}
    options = {"include_background": True, "spacing": list(spacing)}
    hd95 = compute_hausdorff_distance(**both, **options, percentile=95)
    assd = compute_average_surface_distance(**both, **options, symmetric=True)
    return {"hd95_directed": float(hd95), "assd": float(assd)}


def medpy(prediction: Mask, label: Mask, spacing: Sequence[float]) -> dict[str, float]:
    args = prediction, label, spacing
    return {"hd95": float(medpy_binary.hd95(*args)), "assd": float(medpy_binary.assd(*args))}


def blob(center: Sequence[float], radii: Sequence[float], roughness: float, seed: int) -> Mask:
    """An ellipsoid with an uneven surface; center and radii in voxels."""
    grid = np.meshgrid(*map(np.arange, SHAPE), indexing="ij", sparse=True)
    radius = np.sqrt(sum(((g - c) / r) ** 2 for g, c, r in zip(grid, center, radii, strict=True)))
    coarse = np.random.default_rng(seed).normal(size=[s // 8 + 1 for s in SHAPE])
    uneven = ndimage.zoom(coarse, [s / c for s, c in zip(SHAPE, coarse.shape, strict=True)], order=1)
    return radius + roughness * uneven < 1


def main() -> None:
    given = arguments(__doc__, rounds=5).parse_args()
    rivals: dict[str, Measure] = {"MONAI": monai, "whole volume": whole_volume}
    if medpy_binary is not None:
        rivals["medpy"] = medpy
    masks = {"a lesion": ((14, 17, 12), 0.15), "a brain": ((66, 82, 58), 0.03)}
    rows = [row for name, form in masks.items() for row in race(name, *form, rivals, given.rounds)]
    finish(rows, given.json, missing=[] if medpy_binary is not None else ["medpy"])


def race(name: str, radii: Sequence[float], roughness: float, rivals: dict[str, Measure], rounds: int) -> list[Row]:
    """One mask against the same a voxel aside; rivals that find another distance stop it."""
    center = [s / 2 for s in SHAPE]
    label = blob(center, radii, roughness, seed=0)
    prediction = blob([c + 1 for c in center], radii, roughness, seed=1)
    args = prediction, label, SPACING
    ours, agree = distances(*args), {}
    for rival, measure in rivals.items():
        found = measure(*args)
        assert all(np.isclose(ours[metric], value, rtol=1e-4) for metric, value in found.items()), (rival, found, ours)
        agree[rival] = ", ".join(f"{metric} {value:.3f} mm both" for metric, value in found.items())
    contestants = {"halfmask": partial(distances, *args)} | {r: partial(m, *args) for r, m in rivals.items()}
    what = f"HD95 + ASSD of {name}, {label.sum():,} voxels"
    return compare(what, by_turns(contestants, rounds), "halfmask", unit="ms", agree=agree)


if __name__ == "__main__":
    main()
