"""Folders of masks against folders of labels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from nibabel.orientations import aff2axcodes

from halfmask.data.formats import read, stem, suffix
from halfmask.data.layouts import is_data_set, read_index
from halfmask.data.parallel import over
from halfmask.data.split import domains_of
from halfmask.data.volume import Grid
from halfmask.evaluation.metrics import measure
from halfmask.evaluation.table import tabulate
from halfmask.progress import say

ABOUT = "prediction.json"
"""What `halfmask predict` notes beside masks."""
Structures = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Pair:
    """A mask and the label it is to be measured against."""

    case: str
    prediction: Path
    label: Path


@dataclass(frozen=True)
class Comparison:
    """What is to be measured: the pairs, the structures as label values, the ignored value, and cases' domains."""

    pairs: list[Pair]
    structures: Structures
    ignore: int | None
    domains: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PairReader:
    """Measures one pair: a function that pickles. What is wrong with the files comes back as text."""

    structures: Structures
    ignore: int | None

    def __call__(self, pair: Pair) -> dict[str, dict[str, float]] | str:
        try:
            (prediction, grid), (label, own) = read(pair.prediction, label=True), read(pair.label, label=True)
            label, own = turned_like(grid, label, own)
            if fault := misfit(prediction, label, grid, own):
                return f"case {pair.case!r}: {fault}"
            return self._measured(prediction[0], label[0], grid)
        except ValueError as e:
            return f"case {pair.case!r}: {e}"

    def _measured(self, prediction: np.ndarray, label: np.ndarray, grid: Grid) -> dict[str, dict[str, float]]:
        """The surface of a single slice is a contour, so it is measured in 2D; only its volume has a thickness."""
        told: dict[str, Any] = {"structures": self.structures, "ignore": self.ignore}
        if 1 not in grid.shape:
            return measure(prediction, label, spacing=grid.spacing, **told)
        axis = grid.shape.index(1)
        spacing = tuple(s for a, s in enumerate(grid.spacing) if a != axis)
        found = measure(prediction.take(0, axis), label.take(0, axis), spacing=spacing, **told)
        for metrics in found.values():
            metrics["volume_error_ml"] *= grid.spacing[axis] if grid.scan else 1.0
        return found


def turned_like(grid: Grid, label: np.ndarray, own: Grid) -> tuple[np.ndarray, Grid]:
    """A label with its axes in the order and direction of another grid's, as converters of DICOM turn them."""
    if not (grid.scan and own.scan):
        return label, own
    codes = "".join(aff2axcodes(grid.affine))
    return own.orient(label, codes), own.oriented(codes)


def misfit(prediction: np.ndarray, label: np.ndarray, grid: Grid, own: Grid) -> str | None:
    """Why a mask (C, *spatial) cannot be held against a label; None if it can."""
    if prediction.shape != label.shape:
        return f"the mask has shape {prediction.shape[1:]}, the label {label.shape[1:]}; were both resampled?"
    if grid.apart(own) > 0.1 * min(own.spacing):
        return f"mask and label lie {grid.apart(own):.2f} mm apart; was the mask made from another image?"
    return None


def compare(
    predictions: Path, labels: Path, *, ignore: int | None = None, executor: Executor | None = None
) -> pd.DataFrame:
    """Measure every mask in a folder; see `match` for which, and `evaluation.table` for the result.

    Raises:
        ValueError: there is nothing to compare, or any mask's case is unknown or does not fit its label, all of them
            named.
    """
    return measured(match(predictions, labels, ignore=ignore), executor=executor)


def match(
    predictions: Path,
    labels: Path,
    *,
    ignore: int | None = None,
    channels: Mapping[str, str] | None = None,
    label: str | None = None,
) -> Comparison:
    """Find the label of every mask in a folder.

    Masks that `predict` did not note in prediction.json are another run's and are left out, and so are those of
    cases that the data set has without a label; both are counted in a warning.

    Args:
        predictions: masks, and prediction.json with their cases and the names of their values if `predict` wrote them.
        labels: a data set, or a folder of label files of the same names.
        ignore: the label value of voxels that nobody annotated; what prediction.json or the data set says if None.
        channels: by name, which files or series are a case's images, where the data set leaves a choice.
        label: a regular expression that tells which masks are the labels, where the data set leaves a choice.

    Raises:
        ValueError: there is nothing to compare, or any mask's case is unknown.
    """
    masks = {stem(p): p for p in sorted(predictions.glob("*")) if suffix(p) and not p.name.startswith(".")}
    if not masks:
        raise ValueError(f"{predictions} holds no masks")
    truth, structures, noted, domains = _labels(labels, channels, label)
    about = predictions / ABOUT
    if about.is_file():
        structures, noted, asked, known = _described(about)
        domains |= known
        masks = _asked(masks, asked, about)
    ignore = noted if ignore is None else ignore
    pairs = _paired(masks, truth, labels)
    domains = {pair.case: domains[pair.case] for pair in pairs if pair.case in domains}
    return Comparison(pairs, structures or _found(pairs, ignore), ignore, domains)


def measured(comparison: Comparison, *, executor: Executor | None = None) -> pd.DataFrame:
    """The table of a comparison.

    Raises:
        ValueError: masks that do not fit their labels, all of them named.
    """
    pairs, found, faults = comparison.pairs, {}, []
    reader = PairReader(comparison.structures, comparison.ignore)
    for pair, result in over(reader, pairs, what="evaluate", executor=executor):
        if isinstance(result, str):
            faults.append(result)
        else:
            found[pair.case] = result
    if faults:
        raise ValueError("\n".join(sorted(faults)))
    return tabulate({pair.case: found[pair.case] for pair in pairs})


def _asked(masks: dict[str, Path], asked: list[str] | None, about: Path) -> dict[str, Path]:
    """The masks of the cases that were predicted; None for the cases is how older versions noted them."""
    if asked is None:
        return masks
    if missing := [name for name in asked if name not in masks]:
        say(f"warning: {len(missing)} of {len(asked)} cases have no mask and count nowhere: {_some(missing)}")
    if others := sorted(set(masks) - set(asked)):
        say(f"warning: {len(others)} masks are not noted in {about} and count nowhere: {_some(others)}")
    if not (kept := {name: mask for name, mask in masks.items() if name in asked}):
        raise ValueError(f"{about.parent} holds none of the {len(asked)} masks that {about.name} notes; predict anew")
    return kept


def _paired(masks: dict[str, Path], truth: Mapping[str, Path | None], labels: Path) -> list[Pair]:
    """Each mask with its label; masks of cases that have none are left out."""
    if unknown := [name for name in masks if name not in truth]:
        raise ValueError(f"{len(unknown)} masks have no label in {labels}: {_some(unknown)}")
    pairs = [Pair(name, mask, label) for name, mask in masks.items() if (label := truth[name]) is not None]
    if without := [name for name in masks if truth[name] is None]:
        if not pairs:
            raise ValueError(f"none of the {len(masks)} masks has a label in {labels}: {_some(without)}")
        say(f"warning: {len(without)} of {len(masks)} cases have no label and count nowhere: {_some(without)}")
    return pairs


def _some(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _labels(
    path: Path, channels: Mapping[str, str] | None, label: str | None
) -> tuple[Mapping[str, Path | None], Structures, int | None, dict[str, str]]:
    """Label files by case, None for a case without one; what their values mean, and cases' domains, if that is told."""
    if path.is_dir() and channels is None and label is None and not is_data_set(path):
        files = [p for p in sorted(path.glob("*")) if suffix(p) and not p.name.startswith(".")]
        return {stem(p): p for p in files}, {}, None, {}
    index = read_index(path, channels=channels, label=label)
    if not any(case.label for case in index.cases) and (errors := [f for f in index.faults if f.severity == "error"]):
        raise ValueError("\n".join(map(str, errors)))
    structures = {name: (value,) for name, value in index.labels.items() if value}
    regions: Structures = dict(index.regions)
    return {c.name: c.label for c in index.cases}, regions or structures, index.ignore, domains_of(index.cases)


def _described(file: Path) -> tuple[Structures, int | None, list[str] | None, dict[str, str]]:
    """What `predict` noted: what the masks' values mean, the ignore value, the cases it was asked for, and domains."""
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
        labels, regions, ignore, asked = about["labels"], about["regions"], about["ignore"], about.get("cases")
        domains = dict(about.get("domains") or {})
        if regions:
            found = {name: tuple(labels[part] for part in parts) for name, parts in regions.items()}
            return found, ignore, asked, domains
        background = next(iter(labels))
        return {name: (value,) for name, value in labels.items() if name != background}, ignore, asked, domains
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration) as e:
        raise ValueError(f"{file} is not as `halfmask predict` writes it ({type(e).__name__}: {e}); remove it") from e


def _found(pairs: list[Pair], ignore: int | None) -> Structures:
    """Undescribed labels: every value but 0 and the ignored is a structure."""
    values = sorted({int(v) for pair in pairs for v in np.unique(read(pair.label, label=True)[0])} - {0, ignore})
    return {f"class {value}": (value,) for value in values}
