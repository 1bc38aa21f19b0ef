"""Metrics of many cases as a table: made, summed up, written, read and shown.

A table has the columns ``case`` and ``structure``, one row for each pair, and else only metrics. NaN means
that a metric is undefined there; it is left out of means, and counted.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from halfmask.data.atomic import atomic
from halfmask.evaluation.metrics import UNITS

KEYS = ["case", "structure"]
MEAN = "mean"
"""The name of the row over all structures."""


def tabulate(measured: Mapping[str, Mapping[str, Mapping[str, float]]]) -> pd.DataFrame:
    """The table of ``{case: measure(...)}``."""
    return pd.DataFrame(
        [
            {"case": case, "structure": structure} | dict(metrics)
            for case, structures in measured.items()
            for structure, metrics in structures.items()
        ]
    )


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Each metric over the cases, by structure and last for the foreground as a whole (``"mean"``).

    For the foreground each case is first averaged over its structures, so the deviation is between cases. If
    a metric is undefined for one structure of a case, or the row is missing, so is the case's mean: the mean
    of the others would leave out the very structure that went wrong.

    Returns:
        Columns ``structure``, ``metric``, ``mean``, ``sd`` (n − 1; NaN for one case), ``n`` (cases that
        count) and ``undefined`` (cases that do not).

    Raises:
        ValueError: a structure is called "mean", or rows with the same case and structure.
    """
    repeated = table[table.duplicated(KEYS)]
    if len(repeated):
        case, structure = repeated.iloc[0][KEYS]
        raise ValueError(f"the table has case {case!r}, structure {structure!r} more than once")
    if (table["structure"] == MEAN).any():
        raise ValueError(f"a structure is called {MEAN!r}, as the row over all structures is; rename it")
    by_case = {
        metric: table.pivot(index="case", columns="structure", values=metric) for metric in table.columns.drop(KEYS)
    }
    rows = []
    for structure in [*table["structure"].unique(), MEAN]:
        for metric, wide in by_case.items():
            values = wide.mean(axis=1, skipna=False) if structure == MEAN else wide[structure]
            n = int(values.count())
            rows.append((structure, metric, values.mean(), values.std(), n, len(values) - n))
    return pd.DataFrame(rows, columns=["structure", "metric", "mean", "sd", "n", "undefined"])


def write(table: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Write as CSV, whole or not at all; NaN stands as ``nan``."""
    with atomic(Path(path)) as partial:
        table.to_csv(partial, index=False, na_rep="nan")


def read(path: str | os.PathLike[str]) -> pd.DataFrame:
    """What `write` wrote. Names stay text: a case may be called ``007`` or ``NA``."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    return table.astype(dict.fromkeys(table.columns.drop(KEYS), float))


def render(summary: pd.DataFrame, metrics: Sequence[str] | None = None) -> str:
    """A summary as plain text for a terminal: ``0.812 ± 0.043``, and ``(2 undefined)`` where some are.

    Metrics go down and structures across, or the other way if there are more structures.

    Args:
        metrics: those to show; all unless given.
    """
    shown = summary if metrics is None else summary[summary["metric"].isin(metrics)]
    cells = {
        (row["metric"], row["structure"]): _cell(row["mean"], row["sd"], row["undefined"])
        for row in shown.to_dict("records")
    }
    down, across = list(shown["metric"].unique()), list(shown["structure"].unique())
    name = {metric: f"{metric} ({UNITS[metric]})" if metric in UNITS else metric for metric in down}
    flipped = len(across) > len(down)
    if flipped:
        down, across = across, down
    grid = Table(box=box.SIMPLE_HEAD)
    grid.add_column("")
    for column in across:
        grid.add_column(name.get(column, column), no_wrap=True)
    for row in down:
        keys = ((column, row) if flipped else (row, column) for column in across)
        grid.add_row(name.get(row, row), *(cells[key] for key in keys))
    return plain(grid)


def plain(grid: Table) -> str:
    """A table without colors; a structure called "[red]" or ":brain:" is shown as it is."""
    console = Console(file=io.StringIO(), width=10_000, color_system=None, markup=False, emoji=False, highlight=False)
    with console.capture() as capture:
        console.print(grid)
    return "\n".join(line.rstrip() for line in capture.get().splitlines()).strip("\n")


def _cell(mean: float, sd: float, undefined: int) -> str:
    number = "      –" if pd.isna(mean) else f"{mean:7.3f}"
    spread = "" if pd.isna(sd) else f" ± {sd:.3f}"
    return f"{number}{spread}" + (f"  ({undefined} undefined)" if undefined else "")
