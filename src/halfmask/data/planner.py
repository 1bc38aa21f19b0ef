"""From fingerprints to a plan: spacing, 2D or 3D, patch, batch, pooling, flips.

The rules are nnU-Net's (Isensee et al., Nature Methods 2021, doi:10.1038/s41592-020-01008-z), with the
reason for each choice written into the plan, and with flips forbidden where class names tell sides apart.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from halfmask.data.fingerprint import Fingerprint
from halfmask.data.index import Index
from halfmask.data.plan import Plan, plan_of
from halfmask.data.volume import COARSE

WIDTH = {2: 32, 3: 32}
MOST = {2: 512, 3: 320}
"""Features at the first level, and the most that any level has."""
BATCH = {2: (6, 12), 3: (2, 4)}
"""Least and most images of each half of a batch; the public benchmarks have 12 in 2D and 2 in 3D."""
DEEPEST = {2: 6, 3: 5}
BYTES_PER_FEATURE = 50
"""Training memory for each voxel and feature at one level of the encoder, decoder included, in float32.

Measured on our U-Net with `dice_ce`: ten maps (40.6 bytes) are kept for the backward pass (two convolutions
and norms down, the concatenation and two more up), and 48 (2D) to 52 (3D) is the peak with the gradients that
live at once. Weights, their gradients and the optimizer's averages come on top, 0.5 GiB at most."""
FEW = 8
"""With fewer slices than this along an axis, slices lie across it and are taken one by one."""
SIDES = {
    "RL": ("left", "right", "l", "r", "lh", "rh"),
    "AP": ("anterior", "posterior", "ventral", "dorsal", "front", "back"),
    "SI": ("superior", "inferior", "upper", "lower", "cranial", "caudal", "top", "bottom"),
}


def make_plan(
    index: Index,
    fingerprints: Sequence[Fingerprint],
    *,
    dims: Literal[2, 3] | None = None,
    memory_gib: float = 8.0,
) -> Plan:
    """Plan for a data set.

    Args:
        fingerprints: of all cases outside the test part, labeled or not.
        dims: to decide 2D or 3D by hand.
        memory_gib: that one training of one network may take.

    Raises:
        ValueError: no case is labeled, or pictures and scans are mixed.
    """
    why: list[str] = []
    if len({f.axes is None for f in fingerprints}) > 1:
        raise ValueError("the data set mixes pictures and scans; index them apart")
    labels = _labels(index, fingerprints, why)
    names = {value: name for name, value in labels.items()}
    regions = {region: [names.get(v, f"value {v}") for v in values] for region, values in index.regions.items()}
    channels = list(index.channels) or [f"channel {c}" for c in range(len(fingerprints[0].intensities))]
    if dims == 3 and fingerprints[0].axes is None:
        raise ValueError("pictures cannot be planned in 3D; leave --dims to the plan")
    orientation, spacing, shape = _geometry(fingerprints, why)
    dims = dims or _dims(fingerprints, spacing, shape, why)
    least, most = BATCH[dims]
    patch, pooling, kernels = fit(shape[3 - dims :], spacing[3 - dims :], 2 * least, memory_gib)
    half = max(n for n in range(least, most + 1) if n == least or memory(patch, pooling, 2 * n) <= memory_gib)
    why.append(f"patch and batch: the largest that train in about {memory_gib:g} GiB, the patch first")
    ct = [channel.lower() in ("ct", "hu") for channel in channels]
    content: dict[str, Any] = dict(
        channels=channels,
        labels=labels,
        regions=regions,
        ignore_value=index.ignore,
        dims=dims,
        orientation=orientation,
        spacing=spacing if dims == 3 else (None, *spacing[1:]),
        normalization=["ct" if c else "zscore" for c in ct],
        intensities=_intensities(fingerprints) if any(ct) else None,
        patch=patch,
        labeled=half,
        unlabeled=half,
        pooling=pooling,
        kernels=kernels,
        flips=_flips(labels, orientation, why)[3 - dims :],
        memory_gib=memory_gib,
        why=why,
    )
    return plan_of(content, where="the data set cannot be planned")


def fit(
    shape: Sequence[float], spacing: Sequence[float], batch: int, memory_gib: float
) -> tuple[tuple[int, ...], list[tuple[int, ...]], list[tuple[int, ...]]]:
    """The largest patch of an image's proportions that trains within the memory: patch, pooling, kernels."""
    ceiling = 512 if len(shape) == 2 else 192
    patch = [min(float(n), ceiling) for n in shape]
    while True:
        rounded, pooling, kernels = _topology(patch, spacing)
        if memory(rounded, pooling, batch) <= memory_gib or max(patch) <= 16:
            return rounded, pooling, kernels
        largest = int(np.argmax([p / n for p, n in zip(patch, shape, strict=True)]))
        candidates = [a for a in range(len(patch)) if patch[a] == max(patch)]
        patch[largest if patch[largest] > 16 else candidates[0]] *= 0.95


def memory(patch: Sequence[int], pooling: Sequence[Sequence[int]], batch: int) -> float:
    """About how many GiB our U-Net takes for a training step."""
    dims, voxels, total = len(patch), float(np.prod(patch)), 0.0
    for level in range(len(pooling) + 1):
        total += voxels * min(WIDTH[dims] * 2**level, MOST[dims])
        if level < len(pooling):
            voxels /= np.prod(pooling[level])
    return batch * total * BYTES_PER_FEATURE / 2**30


def _topology(
    patch: Sequence[float], spacing: Sequence[float]
) -> tuple[tuple[int, ...], list[tuple[int, ...]], list[tuple[int, ...]]]:
    """Pool an axis while its spacing is under twice the finest and at least 4 voxels are left afterwards."""
    size, now = np.array(patch, float), np.array(spacing, float)
    pooling: list[tuple[int, ...]] = []
    wide = now <= 2 * now.min()  # no convolution across slices over twice as thick as the pixels are wide
    kernels = [_kernel(wide)]
    while len(pooling) < DEEPEST[len(size)]:
        able = size >= 8
        able &= now < 2 * now[able].min(initial=np.inf)
        if not able.any():
            break
        stride = np.where(able, 2, 1)
        size, now = np.ceil(size / stride), now * stride
        pooling.append(tuple(int(s) for s in stride))
        wide |= now <= 2 * now.min()
        kernels.append(_kernel(wide))
    total = np.prod(np.array(pooling), 0) if pooling else np.ones(len(size))
    rounded = tuple(int(np.ceil(p / t) * t) for p, t in zip(patch, total, strict=True))
    return rounded, pooling, kernels


def _kernel(wide: np.ndarray) -> tuple[int, ...]:
    return tuple(3 if w else 1 for w in wide)


def _labels(index: Index, fingerprints: Sequence[Fingerprint], why: list[str]) -> dict[str, int]:
    found = sorted({v for f in fingerprints for v in f.values})
    if not found:
        raise ValueError("no case outside the test part has a label; at least one is needed to plan")
    if found == [0]:
        raise ValueError("every label outside the test part is empty; at least one must mark something")
    if index.labels:
        return {name: value for name, value in index.labels.items() if value != index.ignore}
    why.append(f"labels: not described, so named after the values found: {found}")
    return {"background" if v == 0 else f"class {v}": v for v in sorted({0, *found}) if v != index.ignore}


def _geometry(
    fingerprints: Sequence[Fingerprint], why: list[str]
) -> tuple[str | None, tuple[float, ...], tuple[float, ...]]:
    """Orientation, spacing and median shape (after resampling) along the prepared axes, coarsest first."""
    if fingerprints[0].axes is None:
        shape = np.median([f.kept for f in fingerprints], 0)
        spacing = np.median([f.spacing for f in fingerprints], 0)
        return None, tuple(float(s) for s in spacing), tuple(float(n) for n in shape)
    pairs = {"S": "SI", "P": "AP", "L": "LR"}
    column = lambda axes, letter: next(i for i, a in enumerate(axes) if a in pairs[letter])
    per_letter = {letter: np.median([f.spacing[column(f.axes, letter)] for f in fingerprints]) for letter in pairs}
    slices = {letter: np.median([f.kept[column(f.axes, letter)] for f in fingerprints]) for letter in pairs}
    coarsest = max(per_letter, key=lambda letter: per_letter[letter] + (letter == "S") * 1e-3)
    if min(slices.values()) < FEW:
        coarsest = min(slices, key=lambda letter: slices[letter])
    orientation = coarsest + "".join(letter for letter in pairs if letter != coarsest)
    order = [[column(f.axes, letter) for letter in orientation] for f in fingerprints]
    spacings = np.array([[f.spacing[i] for i in o] for f, o in zip(fingerprints, order, strict=True)])
    kept = np.array([[f.kept[i] for i in o] for f, o in zip(fingerprints, order, strict=True)])
    target = np.median(spacings, 0)
    if target[0] >= COARSE * target[1:].min() and len(spacings) > 1:
        target[0] = max(np.percentile(spacings[:, 0], 10), target[1:].min())
        why.append("spacing: slices are thick, so their 10th percentile is taken, not the median")
    else:
        why.append("spacing: the median of all images outside the test part")
    target = np.round(target, 4)
    return (
        orientation,
        tuple(float(t) for t in target),
        tuple(float(n) for n in np.median(kept * spacings / target, 0)),
    )


def _dims(
    fingerprints: Sequence[Fingerprint], spacing: Sequence[float], shape: Sequence[float], why: list[str]
) -> Literal[2, 3]:
    if fingerprints[0].axes is None:
        why.append("2D: the images are pictures")
        return 2
    if shape[0] < FEW:
        why.append(f"2D: the median image has {shape[0]:.0f} slices, too few to convolve across")
        return 2
    ratio = spacing[0] / min(spacing[1:])
    why.append(f"3D: {shape[0]:.0f} slices, {ratio:.1f} times as thick as the pixels are wide")
    return 3


def _flips(labels: dict[str, int], orientation: str | None, why: list[str]) -> tuple[bool, ...]:
    """Mirroring turns left into right: no flip along an axis whose ends the class names tell apart."""
    parts = {name: {w.lower() for w in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)} for name in labels}
    allowed = []
    for axis in orientation or " SL":  # a picture's rows run downwards, its columns to the side
        words = next((w for pair, w in SIDES.items() if axis in pair), ())
        told = [name for name in labels if parts[name].intersection(words)]
        if told:
            why.append(f"flips: not along {axis}, because classes are told apart by it: {', '.join(told)}")
        allowed.append(not told)
    return tuple(allowed)


def _intensities(fingerprints: Sequence[Fingerprint]) -> list[tuple[float, float, float, float]]:
    """Over the foreground of all images; nnU-Net's are over the labels, which a small budget may not know."""
    result = []
    for c in range(len(fingerprints[0].intensities)):
        voxels = np.concatenate([f.intensities[c] for f in fingerprints])
        low, high = np.percentile(voxels, (0.5, 99.5))
        clipped = voxels.clip(low, high)
        result.append((float(low), float(high), float(clipped.mean()), float(max(clipped.std(), 1e-8))))
    return result
