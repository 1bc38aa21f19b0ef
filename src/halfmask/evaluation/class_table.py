"""The files of a classifier's predictions: cases with their probabilities, and the figures; and how these are shown.

``cases.csv`` has the columns case, truth, predicted, and one ``p NAME`` a class. Where a case has one class, truth is
its name, empty if nobody knows it. With several labels it is the names joined by ``;``, with ``?`` before one that
nobody knows, empty if it has none. ``metrics.csv`` has a row a class and last `MEAN`; a metric that a row has not is
empty, one that is undefined ``nan``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich import box
from rich.table import Table

from halfmask.data.atomic import atomic
from halfmask.data.batch import IGNORE
from halfmask.evaluation.classification import COUNTS, OVERALL
from halfmask.evaluation.probabilities import decisions
from halfmask.evaluation.table import MEAN, plain

CASES, METRICS = "cases.csv", "metrics.csv"
JOINED, UNKNOWN, PROBABILITY = ";", "?", "p "
Measured = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, eq=False)
class Predictions:
    """What was predicted for some cases.

    Attributes:
        cases: N names; classes: K names.
        probability: (N, K); truth: (N,) class numbers, or (N, K) of 0 and 1; `IGNORE` where nobody knows.
    """

    cases: list[str]
    classes: list[str]
    probability: NDArray[np.float64]
    truth: NDArray[np.int64]

    @property
    def multi_label(self) -> bool:
        return self.truth.ndim == 2

    @property
    def any_known(self) -> bool:
        return bool((self.truth != IGNORE).any())


def write_cases(
    path: str | os.PathLike[str],
    cases: Sequence[str],
    probability: NDArray[Any],
    truth: NDArray[Any] | None,
    classes: Sequence[str],
    *,
    multi_label: bool = False,
) -> None:
    """Write cases.csv, whole or not at all; probabilities with nine digits, enough for float32.

    Args:
        probability: (N, K); truth: (N,), or (N, K) if ``multi_label``; None if nothing is known of any case.

    Raises:
        ValueError: a class has no name, or one that the columns could not tell apart.
    """
    _fit_names(classes, multi_label)
    shape = (len(cases), len(classes)) if multi_label else (len(cases),)
    truth = np.full(shape, IGNORE) if truth is None else truth
    assert truth.shape == shape and probability.shape == (len(cases), len(classes))
    decided = decisions(probability, multi_label).astype(int)
    said = decided if multi_label else decided.argmax(1)
    table = pd.DataFrame({"case": list(cases), "truth": _names(truth, classes), "predicted": _names(said, classes)})
    for k, name in enumerate(classes):
        table[PROBABILITY + name] = [f"{value:.9g}" for value in probability[:, k]]
    with atomic(Path(path)) as partial:
        table.to_csv(partial, index=False)


def read_cases(path: str | os.PathLike[str], *, multi_label: bool = False) -> Predictions:
    """What `write_cases` wrote.

    Raises:
        ValueError: a column is missing, or holds what `write_cases` does not write.
    """
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    classes = [str(c).removeprefix(PROBABILITY) for c in table.columns if str(c).startswith(PROBABILITY)]
    if not {"case", "truth", "predicted"} <= set(table.columns) or not classes:
        raise ValueError(f"{path} should have the columns case, truth, predicted and {PROBABILITY}NAME; evaluate anew")
    try:
        probability = table[[PROBABILITY + name for name in classes]].to_numpy(str).astype(float)
        truth = _labels(table["truth"], classes) if multi_label else _numbers(table["truth"], classes)
    except (ValueError, KeyError) as e:
        raise ValueError(f"{path} holds what is no probability or no class ({e}); evaluate anew") from e
    return Predictions(list(table["case"]), classes, probability, truth)


def write_metrics(path: str | os.PathLike[str], measured: Measured) -> None:
    """Write what `classification.measure` gave as metrics.csv, whole or not at all."""
    metrics = [m for m in OVERALL if any(m in row for row in measured.values())]
    metrics += [m for m in dict.fromkeys(m for row in measured.values() for m in row) if m not in metrics]
    rows = [
        {"structure": name} | {m: "nan" if np.isnan(row[m]) else f"{row[m]:.9g}" for m in metrics if m in row}
        for name, row in measured.items()
    ]
    with atomic(Path(path)) as partial:
        pd.DataFrame(rows, columns=["structure", *metrics]).to_csv(partial, index=False)


def read_metrics(path: str | os.PathLike[str]) -> dict[str, dict[str, float]]:
    """What `write_metrics` wrote, by class and metric.

    Raises:
        ValueError: there is no column structure, or text where a figure belongs.
    """
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if "structure" not in table:
        raise ValueError(f"{path} has no column structure; evaluate anew")
    try:
        return {
            str(row.pop("structure")): {str(m): float(value) for m, value in row.items() if value != ""}
            for row in table.to_dict("records")
        }
    except ValueError as e:
        raise ValueError(f"{path} holds text where a figure belongs ({e}); evaluate anew") from e


def render(measured: Measured, confused: NDArray[Any] | None = None) -> str:
    """The figures as plain text for a terminal: classes across, and below them how each class was taken.

    Args:
        confused: (K, K) of `classification.confusion`, its classes in the order of ``measured``.
    """
    names = list(measured)
    metrics = list(dict.fromkeys(m for row in reversed(list(measured.values())) for m in row))
    grid = Table(box=box.SIMPLE_HEAD)
    for column in ("", *names):
        grid.add_column(column, justify="right" if column else "left", no_wrap=True)
    for metric in metrics:
        grid.add_row(metric, *(_cell(metric, measured[name].get(metric)) for name in names))
    shown = plain(grid)
    if confused is None:
        return shown
    classes = [name for name in names if name != MEAN]
    matrix = Table(box=box.SIMPLE_HEAD)
    for column in ("true \\ predicted", *classes):
        matrix.add_column(column, justify="left" if column.startswith("true \\") else "right", no_wrap=True)
    for name, row in zip(classes, confused, strict=True):
        matrix.add_row(name, *map(str, row))
    return f"{shown}\n\n{plain(matrix)}"


def _cell(metric: str, value: float | None) -> str:
    if value is None:
        return ""
    return "–" if np.isnan(value) else f"{value:.0f}" if metric in COUNTS else f"{value:.3f}"


def _fit_names(classes: Sequence[str], multi_label: bool) -> None:
    if len(set(classes)) != len(classes) or "" in classes:
        raise ValueError(f"classes need names, all different, got {list(classes)}")
    if multi_label and (bad := [name for name in classes if JOINED in name or name.startswith(UNKNOWN)]):
        raise ValueError(f"names of labels have no {JOINED!r} and no {UNKNOWN!r} in front, got {bad}; rename them")


def _names(values: NDArray[Any], classes: Sequence[str]) -> list[str]:
    if values.ndim == 1:
        return ["" if value == IGNORE else classes[int(value)] for value in values]
    mark = {1: "", IGNORE: UNKNOWN}
    return [
        JOINED.join(mark[v] + name for v, name in zip(map(int, row), classes, strict=True) if v in mark)
        for row in values
    ]


def _numbers(told: Sequence[str] | pd.Series, classes: Sequence[str]) -> NDArray[np.int64]:
    number = {name: k for k, name in enumerate(classes)} | {"": IGNORE}
    return np.array([number[name] for name in told], np.int64)


def _labels(told: Sequence[str] | pd.Series, classes: Sequence[str]) -> NDArray[np.int64]:
    at = {name: (k, 1) for k, name in enumerate(classes)}
    at |= {UNKNOWN + name: (k, IGNORE) for k, name in enumerate(classes)}
    found = np.zeros((len(told), len(classes)), np.int64)
    for n, names in enumerate(told):
        for name in filter(None, names.split(JOINED)):
            k, value = at[name]
            found[n, k] = value
    return found
