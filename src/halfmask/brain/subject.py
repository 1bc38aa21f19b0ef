"""One subject, from raw scans to a brain in its place. Each step says in figures what it did."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import SimpleITK as sitk

from halfmask.brain.bias import corrected, log_bias_field
from halfmask.brain.image import as_array, grid_of, isotropic, like, modalities, resampled, resampled_label
from halfmask.brain.quality import (
    beats_neighbors,
    cut_off,
    overlap,
    shared_information,
    suspicions,
)
from halfmask.brain.reference import Reference
from halfmask.brain.registration import Registration, align, center_of, middle_of, place
from halfmask.brain.settings import NONE, Settings
from halfmask.brain.skull import brain_mask
from halfmask.data.check_case import TOLERANCE
from halfmask.data.formats import read
from halfmask.data.index import Case
from halfmask.data.volume import Grid, coarse_axis

FINE, ROUGH = 1.5, 2.5
"""mm of the voxels that registration looks at: of one session's modalities, which are to fit to a part of a voxel, and
of a brain and the reference, which never fit so well."""


@dataclass
class Subject:
    """What the steps have made of a subject so far.

    Attributes:
        scans: each modality as scanned, on its own grid.
        aligned: for each modality but the first, from the first one's space to its own.
        mask: the brain on the first modality's grid.
        fields: the logarithm of each modality's bias field, on its own grid.
        to_first: from the space of the result to the first modality's.
        images, brain, label: on the grid of the result; the images not masked and not normalized.
        seen: (x, y, z), where each modality's scan reaches on that grid.
        figures: what each step found.
        flags: what a person should look at.
    """

    scans: dict[str, sitk.Image]
    aligned: dict[str, Registration | None] = field(default_factory=dict)
    mask: sitk.Image = field(init=False)
    fields: dict[str, sitk.Image] = field(default_factory=dict)
    to_first: Registration | None = None
    images: dict[str, sitk.Image] = field(default_factory=dict)
    seen: dict[str, np.ndarray] = field(default_factory=dict)
    brain: sitk.Image = field(init=False)
    label: sitk.Image | None = None
    figures: dict[str, Any] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)

    @property
    def first(self) -> sitk.Image:
        return next(iter(self.scans.values()))

    def way(self, name: str) -> sitk.Transform:
        """From points of the result to points of a modality as scanned."""
        steps = [step.transform for step in (self.aligned.get(name), self.to_first) if step is not None]
        return sitk.CompositeTransform(steps) if steps else sitk.Transform(3, sitk.sitkIdentity)  # the last goes first

    def mask_on(self, name: str) -> sitk.Image:
        """The brain on a modality's own grid."""
        step = self.aligned.get(name)
        back = step.transform.GetInverse() if step else None
        return resampled(self.mask, self.scans[name], back, interpolation=sitk.sitkNearestNeighbor)


class Drawn(NamedTuple):
    """Class values (x, y, z) of a label's file, its grid, and the modality that it was drawn on."""

    values: np.ndarray
    grid: Grid
    on: str


def bring(case: Case, names: Sequence[str], settings: Settings, reference: Reference | None) -> Subject:
    """All steps on one subject, but for the normalization.

    Each modality is resampled once, by one transform over all steps.

    Args:
        names: of the modalities.
        reference: None leaves each subject in its own place.

    Raises:
        ValueError: naming the case: a file that cannot be read, no brain, a label on no image's grid.
    """
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)  # subjects go side by side; and sums come out the same
    subject = Subject(modalities(case, names))
    try:
        file = case.label or case.mask
        drawn = None if file is None else _drawn(file, subject)
        _timed(subject, "align", lambda: _align(subject, settings))
        _timed(subject, "skull", lambda: _strip(subject, settings))
        _timed(subject, "bias", lambda: _even(subject, settings))
        _timed(subject, "reference", lambda: _place(subject, reference))
        grid = reference.image if reference else isotropic(subject.first, settings.spacing)
        _timed(subject, "resample", lambda: _resample(subject, grid, drawn))
    except (ValueError, RuntimeError) as e:  # ITK's errors are RuntimeErrors
        reason = str(e).strip().splitlines()[-1] if isinstance(e, RuntimeError) else str(e)
        raise ValueError(f"case {case.name!r}: {reason}") from e
    _judge(subject, settings, reference)
    return subject


def stripped_first(case: Case, names: Sequence[str], settings: Settings) -> sitk.Image:
    """The first modality of a case that others are to be brought to: stripped, even, isotropic, in its own place."""
    alone = settings.model_copy(update={"reference": NONE, "align": False})
    subject = bring(case, names, alone, None)
    first = next(iter(subject.images.values()))
    least = float(as_array(first)[as_array(subject.brain) > 0].min())
    return (first - least + 1) * sitk.Cast(subject.brain, sitk.sitkFloat32)  # the brain is what is above 0


def _timed(subject: Subject, step: str, work: Any) -> None:
    started = time.monotonic()
    work()
    subject.figures.setdefault("seconds", {})[step] = round(time.monotonic() - started, 2)


def _align(subject: Subject, settings: Settings) -> None:
    """Each modality to the first; where they begin is what the scanner says, for they are of one session."""
    names = list(subject.scans)
    fixed = isotropic(subject.first, max(FINE, min(subject.first.GetSpacing())))
    for name in names[1:]:
        subject.aligned[name] = None
        if settings.align:
            found = align(fixed, subject.scans[name])
            subject.aligned[name] = found
            subject.figures.setdefault("aligned", {})[name] = _moved(found, center_of(fixed))


def _strip(subject: Subject, settings: Settings) -> None:
    subject.mask = brain_mask(subject.first, settings.skull)
    voxel = float(np.prod(subject.mask.GetSpacing()))
    subject.figures["milliliters"] = round(float(as_array(subject.mask).sum()) * voxel / 1000, 1)


def _even(subject: Subject, settings: Settings) -> None:
    if not settings.bias:
        return
    for name, scan in subject.scans.items():
        inside = subject.mask_on(name)
        found = log_bias_field(scan, inside)
        subject.fields[name] = found
        within = as_array(found)[as_array(inside) > 0]
        subject.figures.setdefault("bias", {})[name] = round(float(within.std()), 4) if within.size else 0.0


def _place(subject: Subject, reference: Reference | None) -> None:
    """The stripped first modality to the reference, from where the brains' middles coincide."""
    if reference is None:
        return
    first, mask = _evened(subject, next(iter(subject.scans))), subject.mask
    brain = isotropic(sitk.Mask(first, mask), ROUGH)
    fixed = isotropic(reference.image, ROUGH)
    subject.to_first = place(fixed, brain, (middle_of(reference.mask), middle_of(mask)))
    subject.figures["to_reference"] = _moved(subject.to_first, middle_of(reference.mask))


def _resample(subject: Subject, grid: sitk.Image, drawn: Drawn | None) -> None:
    first = next(iter(subject.scans))
    soft = resampled(sitk.Cast(subject.mask, sitk.sitkFloat32), grid, subject.way(first))
    subject.brain = sitk.Cast(soft > 0.5, sitk.sitkUInt8)
    for name, scan in subject.scans.items():
        view = resampled(like(np.ones(scan.GetSize(), np.float32), scan), grid, subject.way(name))
        subject.seen[name] = as_array(view) > 0.5
        image = _evened(subject, name)
        lowest = float(as_array(image).min())
        thick = coarse_axis(image.GetSpacing()) is not None  # splines across thick slices invent edges
        kind = sitk.sitkLinear if thick else sitk.sitkBSpline3
        fine = resampled(image, grid, subject.way(name), interpolation=kind, outside=lowest)
        subject.images[name] = sitk.Maximum(fine, lowest)  # splines swing below what there was
    if drawn is not None:
        label = resampled_label(drawn.values, drawn.grid, grid, subject.way(drawn.on))
        subject.label = like(label, grid)


def _evened(subject: Subject, name: str) -> sitk.Image:
    scan = subject.scans[name]
    return corrected(scan, subject.fields[name]) if name in subject.fields else scan


def _drawn(file: Path, subject: Subject) -> Drawn:
    array, own = read(file, label=True)
    if len(array) != 1:
        raise ValueError(f"the label {file} has {len(array)} channels, one is expected")
    label = array[0]
    if not np.isfinite(label).all() or (label != np.round(label)).any():
        raise ValueError(f"the label {file} has values that are not whole numbers; resample it by the nearest voxel")
    on = next((name for name, scan in subject.scans.items() if _same(own, grid_of(scan))), None)
    if on is None:
        raise ValueError(
            f"the label {file} lies on the grid of none of the images ({', '.join(subject.scans)}), so it cannot "
            "be told which of them it moves with; resample it to one of them"
        )
    subject.figures["label_drawn_on"] = on
    plain = label.dtype.kind in "iu" and label.dtype.itemsize <= 4  # what every reader takes
    return Drawn(label if plain else label.astype(np.int32), own, on)


def _same(label: Grid, image: Grid) -> bool:
    return label.shape == image.shape and label.apart(image) < TOLERANCE * min(image.spacing) + 0.05


def _moved(found: Registration, center: Sequence[float]) -> dict[str, float]:
    return {
        "mm": round(found.shift(center), 2),
        "degrees": round(found.degrees, 2),
        "information": round(found.information, 4),
    }


def _judge(subject: Subject, settings: Settings, reference: Reference | None) -> None:
    first, *others = subject.scans
    inside = as_array(subject.brain) > 0
    volume = {name: as_array(image) for name, image in subject.images.items()}
    shared = {name: shared_information(volume[first][inside], volume[name][inside]) for name in others}
    spacing = subject.brain.GetSpacing()[0]
    unseen = {name: 1 - float((inside & seen).sum() / max(1, inside.sum())) for name, seen in subject.seen.items()}
    overlapping = overlap(subject.brain, reference.mask) if reference else None
    lost = None
    if subject.label is not None and settings.skull != "none":
        marked = as_array(subject.label) > 0
        lost = float((marked & ~inside).sum() / marked.sum()) if marked.any() else None
    subject.figures |= {
        "shared_information": {name: round(share, 4) for name, share in shared.items()},
        "unseen": {name: round(share, 4) for name, share in unseen.items()},
        "within_reference": None if overlapping is None else round(overlapping, 4),
        "label_outside_brain": None if lost is None else round(lost, 4),
    }
    subject.flags = suspicions(
        milliliters=subject.figures["milliliters"],
        stripped=settings.skull != "none",
        cut=cut_off(subject.mask),
        aligned=subject.aligned,
        centers=center_of(subject.first),
        shared=shared,
        in_place={name: beats_neighbors(volume[first], volume[name], inside, spacing) for name in others},
        unseen=unseen,
        to_reference=subject.to_first,
        overlapping=overlapping,
        lost=lost,
    )
