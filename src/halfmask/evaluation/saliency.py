"""How much of where a classifier looks lies where something is: maps of saliency against masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from halfmask.data.atomic import atomic
from halfmask.data.formats import read, stem, suffix
from halfmask.data.index import Index

FOLDER, TABLE = "saliency", "saliency.csv"
COLUMNS = ["case", "kind", "pointing", "energy", "area"]


def measure(saliency: NDArray[np.generic], mask: NDArray[np.bool_]) -> dict[str, float]:
    """Of one map and one mask (*spatial).

    ``pointing``: 1 if the map's highest voxel lies in the mask (Zhang et al., ECCV 2016, arXiv:1608.00507; without its
    tolerance of 15 pixels), of several as high the share of them. ``energy``: the share of the map's sum in the mask
    (Wang et al., CVPR workshop 2020, arXiv:1910.01279). ``area``: the mask's share of the image, which is what a map
    that knows nothing has of both. NaN for a map that is 0 everywhere.
    """
    values = np.asarray(saliency, np.float64)
    total, highest = values.sum(), values == values.max()
    area = float(mask.mean())
    if not total > 0:
        return {"pointing": np.nan, "energy": np.nan, "area": area}
    return {"pointing": float(mask[highest].mean()), "energy": float(values[mask].sum() / total), "area": area}


def measured(predictions: Path, index: Index) -> pd.DataFrame:
    """The table of all maps in a folder of predictions whose case has a mask, a row each; see `measure`.

    A mask is what is not 0 in the mask's file, nor the ignore value. Masks that mark nothing are left out.

    Raises:
        ValueError: a map and a mask have different shapes, or cannot be read.
    """
    masks = {case.name: case.mask for case in index.cases if case.mask is not None}
    rows = []
    for folder in sorted(p for p in (predictions / FOLDER).glob("*") if p.is_dir()):
        for path in sorted(p for p in folder.iterdir() if suffix(p) and stem(p) in masks):
            (saliency, _), (label, _) = read(path), read(masks[stem(path)], label=True)
            if saliency.shape != label.shape:
                told = f"{path} has shape {saliency.shape[1:]}, its mask {label.shape[1:]}"
                raise ValueError(f"case {stem(path)!r}: {told}; were both resampled?")
            mask = label[0] != 0 if index.ignore is None else (label[0] != 0) & (label[0] != index.ignore)
            if mask.any():
                rows.append({"case": stem(path), "kind": folder.name, **measure(saliency[0], mask)})
    return pd.DataFrame(rows, columns=COLUMNS)


def write(table: pd.DataFrame, path: Path) -> None:
    """Write as CSV, whole or not at all."""
    with atomic(path) as partial:
        table.to_csv(partial, index=False, na_rep="nan", float_format="%.6g")
