"""From a case's files to the arrays that networks see, and back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from halfmask.data.batch import IGNORE
from halfmask.data.check_case import grid_faults
from halfmask.data.foreground import Box, crop, foreground, foreground_box
from halfmask.data.formats import read
from halfmask.data.index import Case, Fault
from halfmask.data.plan import Plan
from halfmask.data.regions import class_scores, largest
from halfmask.data.volume import Grid, coarse_axis, resample, resample_label
from halfmask.data.whole import fitted_shape, shrunk


@dataclass(frozen=True)
class Frame:
    """How a prepared image lies in its native one: what is needed to bring a mask back.

    Attributes:
        grid: of the files.
        orientation: of the prepared axes, None for pictures.
        box: what was kept, in voxels of the oriented native image.
        shape: of the prepared image.
        coarse: the axis with thick slices, or None.
    """

    grid: Grid
    orientation: str | None
    box: Box
    shape: tuple[int, ...]
    coarse: int | None

    @property
    def kept(self) -> tuple[int, ...]:
        """The shape of the box."""
        return tuple(b - a for a, b in self.box)

    def place(self, inner: np.ndarray, *, fill: float) -> np.ndarray:
        """Put an array (*kept) into the native image, with ``fill`` outside the box."""
        oriented = np.full(self.grid.oriented(self.orientation).shape, fill, inner.dtype)
        crop(oriented, self.box)[...] = inner
        return np.ascontiguousarray(self.grid.restore(oriented, self.orientation))

    def restore(self, prepared: np.ndarray, *, fill: float = 0) -> np.ndarray:
        """Bring one map (*shape) into the native image by linear resampling, ``fill`` outside the box."""
        return self.place(resample(prepared, self.kept, order=1, coarse=self.coarse), fill=fill)

    def restore_classes(
        self, probability: np.ndarray, members: np.ndarray | None = None, *, fill: int = 0
    ) -> np.ndarray:
        """Class numbers in the native image from probabilities; ``fill``, the background, outside the box.

        Each class is brought back by itself and the largest is taken, so memory does not grow with K.

        Args:
            probability: (K, *shape) of classes, or (R, *shape) of regions.
            members: (K, R), which class lies in which region; None if the probabilities are of classes.
        """
        back = (resample(p, self.kept, order=1, coarse=self.coarse) for p in probability)
        return self.place(largest(back if members is None else class_scores(list(back), members)), fill=fill)


@dataclass(frozen=True)
class Prepared:
    """A case as networks see it, but for the normalization.

    Attributes:
        image: (C, *shape), in the image's own units: whole numbers as they were where nothing was resampled.
        label: (*shape), uint8, class numbers and `IGNORE`; None for an unlabeled case.
        mean, sd: (C,), by which to normalize.
        cut: labeled voxels that lie outside the foreground box. The box is the image's alone: one that knew
            the labels would tell of them where they are not to be known.
    """

    image: np.ndarray
    label: np.ndarray | None
    mean: np.ndarray
    sd: np.ndarray
    frame: Frame
    cut: int = 0

    def normalized(self) -> np.ndarray:
        """(C, *shape), float32."""
        column = (-1, 1, 1, 1)
        return ((self.image - self.mean.reshape(column)) / self.sd.reshape(column)).astype(np.float32)


def read_case(case: Case, *, label: bool = True) -> tuple[np.ndarray, np.ndarray | None, Grid]:
    """Read a case: image (C, *spatial), label (*spatial) or None, and the grid.

    Raises:
        ValueError: naming the case and the file: unreadable, grids that differ, voxels not finite.
    """
    channels, grid = [], None
    for path in case.images:
        array, own = _read(case, path)
        if grid is not None:
            _refuse(grid_faults(case, path, own, grid, case.images[0]))
        if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
            raise ValueError(f"case {case.name!r}: {path}: has voxels that are NaN or infinite; replace them")
        grid = grid or own
        channels.append(array)
    assert grid is not None, case
    image = np.concatenate(channels)
    if not label or case.label is None:
        return image, None, grid
    array, own = _read(case, case.label, label=True)
    _refuse(grid_faults(case, case.label, own, grid, case.images[0]))
    return image, array[0], grid


def _refuse(faults: Iterable[Fault]) -> None:
    for fault in faults:
        raise ValueError(str(fault))


def _read(case: Case, path: Path, *, label: bool = False) -> tuple[np.ndarray, Grid]:
    try:
        return read(path, label=label)
    except ValueError as e:
        raise ValueError(f"case {case.name!r}: {e}") from e


def preprocess(image: np.ndarray, label: np.ndarray | None, grid: Grid, plan: Plan) -> Prepared:
    """Orient, crop to the foreground and resample to the plan's spacing; or, to classify it whole, into the patch.

    Args:
        image: (C, *spatial) as in the files; label: (*spatial) with the files' values, or None.
    """
    image = grid.orient(image, plan.orientation)
    spacing = grid.oriented(plan.orientation).spacing
    mask = foreground(image)
    box = foreground_box(mask)
    cut = 0
    if label is not None:
        label = grid.orient(class_numbers(label, plan), plan.orientation)
        cut = int(_marked(label).sum() - _marked(crop(label, box)).sum())
    image, mask = crop(image, box), crop(mask, box)
    if plan.classifies:
        shape = fitted_shape(mask.shape, spacing, plan.patch)
        image, mask = shrunk(image, shape), shrunk(mask, shape) > 0.5
        target: tuple[float, ...] = spacing
    else:
        target = tuple(own if wanted is None else wanted for own, wanted in zip(spacing, plan.spacing, strict=True))
        shape = tuple(max(1, round(n * o / w)) for n, o, w in zip(mask.shape, spacing, target, strict=True))
    coarse = coarse_axis(spacing, target)
    frame = Frame(grid, plan.orientation, box, shape, coarse)
    if shape != mask.shape:
        image = resample(image, shape, order=3, coarse=coarse)
        mask = resample(mask, shape, order=1, coarse=coarse) > 0.5
    if label is not None:
        label = resample_label(crop(label, box), shape, coarse=coarse)
    image, mean, sd = _statistics(image, mask, plan)
    return Prepared(np.ascontiguousarray(image), label, mean, sd, frame, cut)


def _marked(label: np.ndarray) -> np.ndarray:
    return (label != 0) & (label != IGNORE)


def class_numbers(label: np.ndarray, plan: Plan) -> np.ndarray:
    """The files' label values as class numbers 0…K−1 and `IGNORE`, uint8.

    Raises:
        ValueError: a value is not in the plan.
    """
    result = np.full(label.shape, IGNORE, np.uint8)
    unknown = np.ones(label.shape, bool)
    for number, value in enumerate(plan.labels.values()):
        result[label == value] = number
        unknown &= label != value
    if plan.ignore_value is not None:
        unknown &= label != plan.ignore_value
    if unknown.any():
        values = sorted({float(v) for v in np.unique(label[unknown])})
        raise ValueError(f"label values {values[:8]} are not in the plan's labels {plan.labels}")
    return result


def file_values(classes: np.ndarray, plan: Plan) -> np.ndarray:
    """Class numbers as the values of the label files, in the smallest dtype that holds them."""
    values = np.array(list(plan.labels.values()))
    dtype = next(d for d in (np.uint8, np.int16, np.int32) if (values.astype(d) == values).all())
    return values.astype(dtype)[classes]


def _statistics(image: np.ndarray, mask: np.ndarray, plan: Plan) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clip CT channels; mean and sd of each channel, over the foreground or from the plan.

    A channel's "share" of all is what normalized RGB is: Thanh et al., 2019, doi:10.1109/ICEEE2019.2019.00030.
    """
    mean, sd = np.zeros(len(image)), np.ones(len(image))
    if {"ct", "share"} & {*plan.normalization}:  # a copy: it may still be the caller's
        whole = np.maximum(image.sum(0, dtype=np.float32), 1e-6)
        image = image.astype(np.float32) if "share" in plan.normalization else image.copy()
    for c, kind in enumerate(plan.normalization):
        if kind == "ct":
            assert plan.intensities is not None
            low, high, mean[c], sd[c] = plan.intensities[c]
            image[c] = np.clip(image[c], low, high)
        elif kind == "cohort":
            assert plan.intensities is not None
            *_, mean[c], sd[c] = plan.intensities[c]
        else:
            image[c] = image[c] / whole if kind == "share" else image[c]
            voxels = image[c][mask] if mask.any() else image[c]
            mean[c], sd[c] = voxels.mean(dtype=np.float64), voxels.std(dtype=np.float64)
    constant = sd <= 1e-5 * abs(mean)  # but for what resampling rounds
    return image, mean, np.where(constant, np.maximum(abs(mean), 1), sd)
