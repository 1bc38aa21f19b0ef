"""Folders of masks against folders of labels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from halfmask.data.formats import read, stem, suffix
from halfmask.data.layouts import read_index
from halfmask.data.parallel import over
from halfmask.data.volume import Grid
from halfmask.evaluation.metrics import measure
from halfmask.evaluation.table import tabulate
from halfmask.progress import say

Structures = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Pair:
    """A mask and the label it is to be measured against."""

    case: str
    prediction: Path
    label: Path


@dataclass(frozen=True)
class PairReader:
    """Measures one pair: a function that pickles. What is wrong with the files comes back as text."""

    structures: Structures
    ignore: int | None

    def __call__(self, pair: Pair) -> dict[str, dict[str, float]] | str:
        try:
            (prediction, grid), (label, own) = read(pair.prediction), read(pair.label)
            if fault := _misfit(prediction, label, grid, own):
                return f"case {pair.case!r}: {fault}"
            # A picture is one slice, and its surface is a contour: measure it in 2D.
            flat = (0,) if not grid.scan else (slice(None),)
            spacing = grid.spacing[1:] if not grid.scan else grid.spacing
            return measure(
                prediction[0][flat], label[0][flat], spacing=spacing, structures=self.structures, ignore=self.ignore
            )
        except ValueError as e:
            return f"case {pair.case!r}: {e}"


def _misfit(prediction: np.ndarray, label: np.ndarray, grid: Grid, own: Grid) -> str | None:
    if prediction.shape != label.shape:
        return f"the mask has shape {prediction.shape[1:]}, the label {label.shape[1:]}; were both resampled?"
    if grid.apart(own) > 0.1 * min(own.spacing):
        return f"mask and label lie {grid.apart(own):.2f} mm apart; was the mask made from another image?"
    return None


def compare(predictions: Path, labels: Path, *, executor: Executor | None = None) -> pd.DataFrame:
    """Measure every mask in a folder; see `evaluation.table` for the result.

    Args:
        predictions: masks, and prediction.json with the names of their values if `predict` wrote them.
        labels: a data set, or a folder of label files of the same names.

    Raises:
        ValueError: there is nothing to compare, or any mask has no label or does not fit it, all of them named.
    """
    masks = {stem(p): p for p in sorted(predictions.glob("*")) if suffix(p) and not p.name.startswith(".")}
    if not masks:
        raise ValueError(f"{predictions} holds no masks")
    truth, structures, ignore = _labels(labels)
    about = predictions / "prediction.json"
    if about.is_file():
        structures, ignore, asked = _described(about)
        if missing := [name for name in asked if name not in masks]:
            some = ", ".join(missing[:8])
            say(f"warning: {len(missing)} of {len(asked)} cases have no mask and count nowhere: {some}")
    without = [name for name in masks if name not in truth]
    if without:
        raise ValueError(f"{len(without)} masks have no label in {labels}: {', '.join(without[:8])}")
    pairs = [Pair(name, mask, truth[name]) for name, mask in masks.items()]
    structures = structures or _found(pairs)
    measured, faults = {}, []
    for pair, result in over(PairReader(structures, ignore), pairs, what="evaluate", executor=executor):
        if isinstance(result, str):
            faults.append(result)
        else:
            measured[pair.case] = result
    if faults:
        raise ValueError("\n".join(sorted(faults)))
    return tabulate({name: measured[name] for name in masks})


def _labels(path: Path) -> tuple[dict[str, Path], Structures, int | None]:
    """Label files by case, and what their values mean if that is described."""
    try:
        index = read_index(path)
    except ValueError:
        if not path.is_dir():
            raise
        return {stem(p): p for p in sorted(path.glob("*")) if suffix(p)}, {}, None
    structures = {name: (value,) for name, value in index.labels.items() if value}
    regions: Structures = dict(index.regions)
    return {c.name: c.label for c in index.cases if c.label is not None}, regions or structures, index.ignore


def _described(file: Path) -> tuple[Structures, int | None, list[str]]:
    """What `predict` noted: what the masks' values mean, the ignore value, and the cases it was asked for."""
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
        labels, regions, ignore, asked = (about[key] for key in ("labels", "regions", "ignore", "cases"))
        if regions:
            return {name: tuple(labels[part] for part in parts) for name, parts in regions.items()}, ignore, asked
        background = next(iter(labels))
        return {name: (value,) for name, value in labels.items() if name != background}, ignore, asked
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration) as e:
        raise ValueError(f"{file} is not as `halfmask predict` writes it ({type(e).__name__}: {e}); remove it") from e


def _found(pairs: list[Pair]) -> Structures:
    """Undescribed labels: every value but 0 is a structure."""
    values = sorted({int(v) for pair in pairs for v in np.unique(read(pair.label)[0]) if v})
    return {f"class {value}": (value,) for value in values}
