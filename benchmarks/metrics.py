"""HD95 + ASSD: ours against a distance transform of the whole volume, as medpy does it.

``python benchmarks/metrics.py``; ten seconds on one core.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from scipy import ndimage

from halfmask.evaluation.metrics import Mask, distances

SHAPE, SPACING = (182, 218, 182), (1.0, 1.0, 1.0)


def whole_volume(prediction: Mask, label: Mask, spacing: Sequence[float]) -> dict[str, float]:
    """The rival: medpy's way, but with its two transforms shared between the metrics."""

    def directed(a: Mask, b: Mask) -> np.ndarray:
        border = lambda m: m ^ ndimage.binary_erosion(m)
        return ndimage.distance_transform_edt(~border(b), sampling=spacing)[border(a)]

    both = np.concatenate([directed(prediction, label), directed(label, prediction)])
    return {"hd95": float(np.percentile(both, 95)), "assd": float(both.mean())}


def blob(center: Sequence[float], radii: Sequence[float], roughness: float, seed: int) -> Mask:
    """An ellipsoid with an uneven surface; center and radii in voxels."""
    grid = np.meshgrid(*map(np.arange, SHAPE), indexing="ij", sparse=True)
    radius = np.sqrt(sum(((g - c) / r) ** 2 for g, c, r in zip(grid, center, radii, strict=True)))
    coarse = np.random.default_rng(seed).normal(size=[s // 8 + 1 for s in SHAPE])
    uneven = ndimage.zoom(coarse, [s / c for s, c in zip(SHAPE, coarse.shape, strict=True)], order=1)
    return radius + roughness * uneven < 1


def milliseconds(call: Callable[[], object], repeats: int) -> float:
    """The fastest of some calls."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1000 * min(times)


def main() -> None:
    print(f"{'mask':8}{'voxels':>10}{'ours':>10}{'whole volume':>16}{'ratio':>8}")
    for name, radii, roughness in (("lesion", (14, 17, 12), 0.15), ("brain", (66, 82, 58), 0.03)):
        center = [s / 2 for s in SHAPE]
        label = blob(center, radii, roughness, seed=0)
        prediction = blob([c + 1 for c in center], radii, roughness, seed=1)
        args = prediction, label, SPACING
        ours, theirs = distances(*args), whole_volume(*args)
        assert all(np.isclose(ours[metric], theirs[metric]) for metric in theirs), (ours, theirs)
        mine = milliseconds(partial(distances, *args), 5)
        rival = milliseconds(partial(whole_volume, *args), 2)
        print(f"{name:8}{label.sum():10,}{mine:7.0f} ms{rival:13.0f} ms{rival / mine:7.0f}×")


if __name__ == "__main__":
    main()
