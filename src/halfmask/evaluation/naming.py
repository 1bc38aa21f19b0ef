"""Names for clusters: which class each is, told by labels over all cases at once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from halfmask.data.formats import read, write_like
from halfmask.data.parallel import over
from halfmask.evaluation.compare import ABOUT, Comparison, Pair, misfit, turned_like

NAMED = "named"
"""The folder within that of the masks which holds them with their clusters named."""


@dataclass(frozen=True)
class Unnamed:
    """What `predict` noted of masks of clusters.

    Attributes:
        clusters: K, whose numbers the masks hold.
        labels: the classes that there are to choose from, with their values in label files.
    """

    clusters: int
    labels: Mapping[str, int]


def unnamed(predictions: Path) -> Unnamed | None:
    """None where the masks hold classes already, or nothing is noted."""
    about = predictions / ABOUT
    told = json.loads(about.read_text(encoding="utf-8")) if about.is_file() else {}
    return Unnamed(told["clusters"], told["labels"]) if told.get("clusters") else None


def name_clusters(
    comparison: Comparison, masks: Unnamed, out: Path, *, executor: Executor | None = None
) -> tuple[Comparison, list[str]]:
    """Name the clusters by the labels of all pairs, and write the masks anew as classes, into ``out``.

    Returns: the comparison of those masks, and the class of each cluster.

    Raises:
        ValueError: masks that do not fit their labels, or hold other than cluster numbers, all of them named.
    """
    count = Counter(masks.clusters, tuple(masks.labels.values()), comparison.ignore)
    overlap, faults = np.zeros((masks.clusters, len(masks.labels)), np.int64), []
    for _, found in over(count, comparison.pairs, what="name clusters", executor=executor):
        if isinstance(found, str):
            faults.append(found)
        else:
            overlap += found
    if faults:
        raise ValueError("\n".join(sorted(faults)))
    classes = assigned(overlap)
    values = np.array(list(masks.labels.values()))[classes]
    out.mkdir(exist_ok=True)
    pairs = [replace(pair, prediction=_written(pair, values, out)) for pair in comparison.pairs]
    return replace(comparison, pairs=pairs), [list(masks.labels)[k] for k in classes]


def assigned(overlap: np.ndarray) -> list[int]:
    """The class of each cluster that makes most voxels right, from how many voxels they share (clusters, classes).

    One cluster for each class, as far as there are any (Hungarian matching); those left over are each of the class
    that they share most with.
    """
    found = overlap.argmax(1)
    rows, columns = linear_sum_assignment(overlap, maximize=True)
    found[rows] = columns
    return found.tolist()


@dataclass(frozen=True)
class Counter:
    """Counts the voxels that clusters and classes share in one pair: a function that pickles. Faults come as text.

    Attributes:
        values: of the classes in label files; voxels of other values count nowhere.
    """

    clusters: int
    values: Sequence[int]
    ignore: int | None

    def __call__(self, pair: Pair) -> np.ndarray | str:
        try:
            (mask, grid), (label, own) = read(pair.prediction, label=True), read(pair.label, label=True)
        except ValueError as e:
            return f"case {pair.case!r}: {e}"
        label, own = turned_like(grid, label, own)
        if fault := misfit(mask, label, grid, own):
            return f"case {pair.case!r}: {fault}"
        if mask.min() < 0 or mask.max() >= self.clusters:
            return f"case {pair.case!r}: {pair.prediction} should hold clusters 0 to {self.clusters - 1}; predict anew"
        count = lambda value: np.bincount(mask[(label == value) & (label != self.ignore)], minlength=self.clusters)
        return np.stack([count(value) for value in self.values], 1)


def _written(pair: Pair, values: np.ndarray, out: Path) -> Path:
    """The mask with its clusters' classes, as label files have them, in the smallest dtype that holds them."""
    dtype = next(d for d in (np.uint8, np.int16, np.int32) if (values.astype(d) == values).all())
    mask, _ = read(pair.prediction, label=True)
    return write_like(out / pair.case, values.astype(dtype)[mask[0]], pair.prediction)
