"""Predictions of what whole images show against the data set's table."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from halfmask.data.atomic import write_text
from halfmask.data.batch import IGNORE
from halfmask.data.index import Index
from halfmask.data.layouts import read_index
from halfmask.evaluation.class_table import CASES, METRICS, Predictions, read_cases
from halfmask.evaluation.compare import ABOUT
from halfmask.evaluation.saliency import FOLDER, TABLE
from halfmask.progress import say


@dataclass(frozen=True)
class Judged:
    """Predictions with what is true of them, and the data set that tells it."""

    predictions: Predictions
    index: Index


def classifies(predictions: Path) -> bool:
    """Whether a folder holds predictions of what whole images show, not masks."""
    return about(predictions).get("task") == "classification"


def about(predictions: Path) -> dict[str, Any]:
    """What `predict` noted beside its predictions; nothing if it noted nothing that can be read."""
    try:
        told = json.loads((predictions / ABOUT).read_text(encoding="utf-8"))
        return told if isinstance(told, dict) else {}
    except (OSError, ValueError):
        return {}


def make_room(out: Path) -> None:
    """Remove what other predictions left in a folder; their maps and figures would pass for those of new ones.

    Raises:
        ValueError: it holds such files that are not theirs: a data set's own table is called cases.csv too.
    """
    made = (ABOUT, CASES, METRICS, TABLE, FOLDER)
    if not classifies(out) and (others := [name for name in made if (out / name).exists()]):
        raise ValueError(f"{out} holds {', '.join(others)}, and not of classes that were predicted; give another --out")
    for name in (CASES, METRICS, TABLE):
        (out / name).unlink(missing_ok=True)
    shutil.rmtree(out / FOLDER, ignore_errors=True)


def note(predictions: Path, labels: Path, table: Path) -> None:
    """Note beside the predictions what they were compared with."""
    told = about(predictions) | {"truth": str(labels.resolve()), "table": str(table.resolve())}
    write_text(predictions / ABOUT, json.dumps(told, indent=1))


def judge(predictions: Path, labels: Path) -> Judged:
    """The predictions of a folder with the classes that a data set's table gives their cases.

    Cases that the table does not give a class are kept, and count nowhere.

    Raises:
        ValueError: the table lacks the columns or cases, has faults, or names classes that were not trained.
    """
    told = about(predictions)
    found = read_cases(predictions / CASES, multi_label=told["multi_label"])
    index = read_index(labels, classes=told["columns"])
    if index.faults:
        raise ValueError("\n".join(map(str, index.faults)))
    names = _as_trained(index, found.classes)
    known = {case.name: case.target for case in index.cases}
    if unknown := [name for name in found.cases if name not in known]:
        some = ", ".join(unknown[:8])
        raise ValueError(f"{len(unknown)} of the cases predicted are not in {labels}: {some}; give their own table")
    there = names if found.multi_label else [names[t[0]] for case in found.cases if (t := known[case]) is not None]
    if new := [name for name in dict.fromkeys(there) if name not in found.classes]:
        raise ValueError(
            f"{labels} has the classes {', '.join(new)}, which the model was not trained on; it knows "
            f"{', '.join(found.classes)}"
        )
    truth = np.full(found.truth.shape, IGNORE, np.int64)
    for n, name in enumerate(found.cases):
        if (target := known[name]) is not None:
            truth[n] = target if found.multi_label else found.classes.index(names[target[0]])
    judged = replace(found, truth=truth)
    if not judged.any_known:
        raise ValueError(f"{labels} gives none of the {len(found.cases)} cases a class in {', '.join(told['columns'])}")
    if without := int((truth == IGNORE).reshape(len(truth), -1).all(1).sum()):
        say(f"{without} of {len(truth)} cases have no class in {labels} and count nowhere")
    return Judged(judged, index)


def _as_trained(index: Index, classes: Sequence[str]) -> list[str]:
    """The table's classes as the model calls them: 0 and 1 are named after their column only where it holds no others,
    which may be so of one part of a data set and not of another."""
    if len(index.columns) > 1:
        return list(index.classes)
    (column,) = index.columns
    other = {"0": f"no {column}", "1": column, f"no {column}": "0", column: "1"}
    return [name if name in classes else other.get(name, name) for name in index.classes]
