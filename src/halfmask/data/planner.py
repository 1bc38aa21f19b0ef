"""From fingerprints to a plan: spacing, 2D or 3D, patch, batch, pooling, flips.

The rules are nnU-Net's (Isensee et al., Nature Methods 2021, doi:10.1038/s41592-020-01008-z), with the
reason for each choice written into the plan, and with flips forbidden where class names tell sides apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from halfmask.data.appearance import flips, intensities, normalization
from halfmask.data.fingerprint import Fingerprint
from halfmask.data.index import Index
from halfmask.data.plan import Plan, plan_of
from halfmask.data.plan_whole import plan_whole
from halfmask.data.topology import fit, memory, topology
from halfmask.data.volume import COARSE

BATCH = {2: (6, 12), 3: (2, 4)}
"""Least and most images of each half of a batch; the public benchmarks have 12 in 2D and 2 in 3D."""
LARGE = 1024
"""Pictures longer than this are prepared at a half, a quarter, …: a patch should see what the picture is of."""
FEW = 8
"""With fewer slices than this along an axis, slices lie across it and are taken one by one."""
THICK, THIN = 4.0, 16
"""Slices so many times as thick as the pixels are wide, and fewer than this of them, are taken one by one too.

On ACDC with 3 labeled patients, in equal time, that was better in validation (docs/results.md)."""


def make_plan(
    index: Index,
    fingerprints: Sequence[Fingerprint],
    *,
    dims: Literal[2, 3] | None = None,
    spacing: Sequence[float] | None = None,
    memory_gib: float = 8.0,
    fields: Mapping[str, Any] | None = None,
) -> Plan:
    """Plan for a data set.

    Args:
        fingerprints: of all cases outside the test part, labeled or not. Those without intensities tell which label
            values there are and nothing else.
        dims: to decide 2D or 3D by hand.
        spacing: to decide it by hand: mm along the prepared axes, coarsest first, or along the last two alone;
            for pictures, pixels of the file to one prepared pixel.
        memory_gib: that one training of one network may take.
        fields: of the plan, decided by hand; pooling and kernels follow from a patch.

    Raises:
        ValueError: labels lie in the test part alone, pictures and scans are mixed, or fields do not fit.
    """
    why: list[str] = []
    fields = fields or {}
    if len({f.axes is None for f in fingerprints}) > 1:
        raise ValueError("the data set mixes pictures and scans; index them apart")
    labels = {name: k for k, name in enumerate(index.classes)} or _labels(index, fingerprints, why)
    every, fingerprints = len(fingerprints), [f for f in fingerprints if f.intensities is not None]
    if len(fingerprints) < every:
        why.append(f"planned on {len(fingerprints)} of {every} cases, evenly over all; label values are those of all")
    regions = regions_by_name(index, labels)
    channels = list(index.channels) or [f"channel {c}" for c in range(len(fingerprints[0].intensities or ()))]
    if dims == 3 and fingerprints[0].axes is None:
        raise ValueError("pictures cannot be planned in 3D; leave --dims to the plan")
    if index.classes and dims == 2 and fingerprints[0].axes is not None:
        raise ValueError("whole scans are classified in 3D; leave --dims to the plan")
    if index.classes and spacing is not None:
        raise ValueError("whole images are brought to the patch's size, so they have no --spacing; give --set patch=…")
    asked = spacing
    orientation, spacing, shape = _geometry(fingerprints, asked, why)
    if index.classes:
        return plan_whole(index, fingerprints, labels, channels, orientation, shape, spacing, fields)
    dims = dims or _dims(fingerprints, spacing, shape, why)
    if dims == 2 and asked is not None and len(asked) == 3:
        raise ValueError(f"slices of a 2D plan keep their own spacing; give --spacing {asked[1]:g},{asked[2]:g}")
    least, most = BATCH[dims]
    if "patch" in fields:
        patch, pooling, kernels = topology(fields["patch"], spacing[3 - dims :])
    else:
        patch, pooling, kernels = fit(shape[3 - dims :], spacing[3 - dims :], 2 * least, memory_gib)
    half = max(n for n in range(least, most + 1) if n == least or memory(patch, pooling, 2 * n) <= memory_gib)
    why.append(f"patch and batch: the largest that train in about {memory_gib:g} GiB, the patch first")
    why += [f"{name}: asked for" for name in fields]
    kinds = normalization(channels, fields, "zscore")
    content: dict[str, Any] = dict(
        channels=channels,
        labels=labels,
        regions=regions,
        outputs=_outputs(labels, regions, why),
        ignore_value=index.ignore,
        dims=dims,
        orientation=orientation,
        spacing=spacing if dims == 3 else (None, *spacing[1:]),
        normalization=kinds,
        intensities=intensities(fingerprints) if {"ct", "cohort"} & {*kinds} else None,
        patch=patch,
        labeled=half,
        unlabeled=half,
        pooling=pooling,
        kernels=kernels,
        flips=flips([*labels, *regions], orientation, why)[3 - dims :],
        memory_gib=memory_gib,
        why=why,
    )
    return plan_of({**content, **fields}, where="the data set cannot be planned")


def short(number: float) -> float:
    """Six digits of it, as the plan has them."""
    return float(f"{number:.6g}")


def regions_by_name(index: Index, labels: Mapping[str, int]) -> dict[str, list[str]]:
    """A data set's regions as names of labels, given the labels' values."""
    names = {value: name for name, value in labels.items()}
    return {region: [names.get(v, f"value {v}") for v in values] for region, values in index.regions.items()}


def _outputs(labels: dict[str, int], regions: dict[str, list[str]], why: list[str]) -> Literal["classes", "regions"]:
    """Regions where they tell all classes apart: masks hold classes, and else some could not be brought back."""
    if not regions:
        return "classes"
    alike: dict[tuple[str, ...], list[str]] = {}
    for name in labels:
        alike.setdefault(tuple(r for r, parts in regions.items() if name in parts), []).append(name)
    if merged := next((names for names in alike.values() if len(names) > 1), None):
        why.append(f"outputs: classes, as the regions do not tell {' from '.join(merged)}; merged when measured")
        return "classes"
    why.append(f"outputs: the regions {', '.join(regions)}; 'classes' trains exclusive classes, merged when measured")
    return "regions"


def _labels(index: Index, fingerprints: Sequence[Fingerprint], why: list[str]) -> dict[str, int]:
    found = sorted({v for f in fingerprints for v in f.values})
    if not found and any(case.labeled for case in index.cases):
        raise ValueError("no case outside the test part has a label; at least one is needed to plan")
    if not found:
        why.append("labels: no case has one, so only what learns from images alone can be trained: pretrain, and picie")
        return _described(index) or {"background": 0, "foreground": 1}
    if found == [0]:
        raise ValueError("every label outside the test part is empty; at least one must mark something")
    if index.labels:
        return _described(index)
    why.append(f"labels: not described, so named after the values found: {found}")
    values = [v for v in sorted({0, *found}, key=lambda v: (v != 0, v)) if v != index.ignore]
    only = "foreground" if len(values) == 2 else None
    return {"background" if v == 0 else only or f"class {v}": v for v in values}


def _described(index: Index) -> dict[str, int]:
    return {name: value for name, value in index.labels.items() if value != index.ignore}


def _geometry(
    fingerprints: Sequence[Fingerprint], asked: Sequence[float] | None, why: list[str]
) -> tuple[str | None, tuple[float, ...], tuple[float, ...]]:
    """Orientation, spacing and median shape (after resampling) along the prepared axes, coarsest first."""
    if fingerprints[0].axes is None:
        orientation, order = None, [[0, 1, 2] for _ in fingerprints]
    else:
        orientation, order = _axes(fingerprints)
    spacings = np.array([[f.spacing[i] for i in o] for f, o in zip(fingerprints, order, strict=True)])
    kept = np.array([[f.kept[i] for i in o] for f, o in zip(fingerprints, order, strict=True)])
    target = _spacing(spacings, kept, orientation is None, why)
    if asked is not None:
        target[3 - len(asked) :] = asked
        why[-1] = f"spacing: asked for {tuple(asked)}"
    target = np.array([short(t) for t in target])
    shape = np.median(kept * spacings / target, 0)
    return orientation, tuple(float(t) for t in target), tuple(float(n) for n in shape)


def _axes(fingerprints: Sequence[Fingerprint]) -> tuple[str, list[list[int]]]:
    """Where the prepared axes run to, slices first, and for each case its own axes in that order."""
    pairs = {"S": "SI", "P": "AP", "L": "LR"}
    column = lambda axes, letter: next(i for i, a in enumerate(axes) if a in pairs[letter])
    per_letter = {letter: np.median([f.spacing[column(f.axes, letter)] for f in fingerprints]) for letter in pairs}
    slices = {letter: np.median([f.kept[column(f.axes, letter)] for f in fingerprints]) for letter in pairs}
    coarsest = max(per_letter, key=lambda letter: per_letter[letter] + (letter == "S") * 1e-3)
    shortest, second, _ = sorted(slices, key=lambda letter: slices[letter])
    unsaid = max(per_letter.values()) == min(per_letter.values())  # equal spacings: perhaps nobody knew them
    if slices[shortest] < FEW or (unsaid and slices[shortest] < slices[second] / 4):
        coarsest = shortest
    orientation = coarsest + "".join(letter for letter in pairs if letter != coarsest)
    return orientation, [[column(f.axes, letter) for letter in orientation] for f in fingerprints]


def _spacing(spacings: np.ndarray, kept: np.ndarray, pictures: bool, why: list[str]) -> np.ndarray:
    """The spacing to prepare with, from each case's own (n, 3) and its foreground's shape (n, 3)."""
    target = np.median(spacings, 0)
    longest = float(np.median(kept.max(1)))
    if pictures and longest > LARGE:
        target[1:] = 2.0 ** np.ceil(np.log2(longest / LARGE))
        why.append(
            f"spacing: pictures of {longest:.0f} pixels, made {target[1]:.0f} times smaller; masks go back to full size"
        )
    elif not pictures and target[0] >= COARSE * target[1:].min() and len(spacings) > 1:
        target[0] = max(np.percentile(spacings[:, 0], 10), target[1:].min())
        why.append("spacing: slices are thick, so their 10th percentile is taken, not the median")
    else:
        why.append("spacing: the median of all images outside the test part")
    return target


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
    told = f"{shape[0]:.0f} slices, {ratio:.1f} times as thick as the pixels are wide"
    if shape[0] < THIN and shape[0] < min(shape[1:]) / 8 and ratio < 2:
        why.append(f"2D: {shape[0]:.0f} slices of {shape[1]:.0f}×{shape[2]:.0f} pixels; --dims 3 overrides it")
        return 2
    if ratio >= THICK and shape[0] < THIN:
        why.append(f"2D: {told}, too little to learn across them from few labels; --dims 3 overrides it")
        return 2
    why.append(f"3D: {told}")
    return 3
