"""From the long table of a study to one number a case, and a number for each unit in each repetition.

The long table has a row for each run, case and structure: columns ``arm``, ``budget``, ``fold``, ``draw``, ``seed``,
``group``, ``case``, ``structure``, and one for each metric. The *unit* of all statistics is the group (the patient),
as the cases of one patient are not independent. A *repetition* is one of the times that all units were measured.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from halfmask.config import nearest
from halfmask.evaluation.metrics import VOLUME

RUN = ["fold", "draw", "seed"]
"""What tells the runs of one arm at one budget apart."""
CASE = ["group", "case"]
COLUMNS = ["arm", "budget", "labels", "slices", *RUN, *CASE, "structure"]
"""What the long table must have, besides metrics."""


@dataclass(frozen=True, eq=False)
class Cells:
    """Results of K settings on the same units.

    Attributes:
        values: (K, units, repetitions), the mean over the unit's cases; NaN where there is none.
        units: names, in the order of the second axis.
        repetitions: a row for each of the third axis, with columns draw and seed, and fold if the folds share cases.
    """

    values: NDArray[np.float64]
    units: list[str]
    repetitions: pd.DataFrame

    def by_unit(self) -> NDArray[np.float64]:
        """(K, units): the means over the repetitions that there are; NaN where there is none."""
        there = ~np.isnan(self.values)
        with np.errstate(invalid="ignore"):
            return np.where(there, self.values, 0).sum(-1) / there.sum(-1)

    def complete(self) -> Cells:
        """Those units alone that have a result in every setting."""
        kept = np.flatnonzero(~np.isnan(self.by_unit()).any(axis=0))
        return Cells(self.values[:, kept], [self.units[u] for u in kept], self.repetitions)


def case_results(table: pd.DataFrame, *, arm: str, budget: str, metric: str, structure: str | None) -> pd.Series:
    """The metric of each case in each run of an arm at a budget, indexed by fold, draw, seed, group and case, all text.

    Without a ``structure`` the mean over the table's structures: NaN if the metric is undefined for one of them, or
    the row is missing, as the mean of the others would leave out the very structure that went wrong. Volume errors
    are given by their size.

    Raises:
        ValueError: naming every missing column, an unknown metric or structure, or rows that stand there twice.
    """
    check(table, metric, structure)
    rows = table[(table["arm"] == arm) & (table["budget"] == budget)]
    structures = [structure] if structure is not None else list(table["structure"].unique())
    rows = rows[rows["structure"].isin(structures)]
    keys = rows[[*RUN, *CASE, "structure"]].astype(str)
    if keys.duplicated().any():
        twice = ", ".join(f"{k} {v}" for k, v in keys[keys.duplicated()].iloc[0].items())
        raise ValueError(f"the table has a row of arm {arm!r}, budget {budget!r} more than once: {twice}")
    index = pd.MultiIndex.from_frame(keys)
    values = pd.Series(rows[metric].to_numpy(float), index, dtype=float)
    if metric in VOLUME:
        values = values.abs()
    wide = values.unstack("structure") if len(values) else pd.DataFrame(index=index.droplevel("structure"))
    return wide.reindex(columns=[str(s) for s in structures]).mean(axis=1, skipna=False)


def cells(cases: pd.DataFrame) -> Cells:
    """Arrange results by unit and repetition.

    Where each unit is in one fold (cross-validation) the folds come with the units, and a repetition is a draw and
    seed. Where the folds share units (one test part for all) each fold is a repetition too.

    Args:
        cases: a column a setting, indexed as by `case_results`; at least one row.
    """
    by_run = cases.groupby([*RUN, "group"]).mean()
    repeated = RUN if by_run.reset_index("fold").index.has_duplicates else RUN[1:]
    by_run = by_run.reset_index([level for level in RUN if level not in repeated], drop=True)
    wide = [by_run[column].unstack(repeated) for column in by_run]
    units = [str(unit) for unit in wide[0].index]
    return Cells(np.stack([w.to_numpy(float) for w in wide]), units, wide[0].columns.to_frame(index=False))


def unit_means(
    table: pd.DataFrame, *, arm: str, budget: str, metric: str = "dice", structure: str | None = None
) -> pd.Series:
    """Each unit's metric: the mean over its cases in each repetition, then over the repetitions, by unit.

    Cases where the metric is undefined are left out, and units without any other; empty if the table has no such run.

    Raises:
        ValueError: see `case_results`.
    """
    found = case_results(table, arm=arm, budget=budget, metric=metric, structure=structure)
    if found.empty:
        return pd.Series(dtype=float)
    arranged = cells(found.to_frame("value"))
    return pd.Series(arranged.by_unit()[0], index=arranged.units).dropna()


def unit_word(table: pd.DataFrame) -> str:
    """What a unit is: ``"patient"`` where cases have groups, else ``"case"``."""
    return "patient" if (table["group"].astype(str) != table["case"].astype(str)).any() else "case"


def check(table: pd.DataFrame, metric: str, structure: str | None) -> None:
    """Refuse a table that is no long table, or lacks what is asked of it.

    Raises:
        ValueError: naming every missing column, an unknown metric and an unknown structure.
    """
    missing = [column for column in COLUMNS if column not in table]
    faults = [f"the table of results has no column {', '.join(missing)}"] if missing else []
    metrics = [str(c) for c in table.columns if pd.api.types.is_numeric_dtype(table[c]) and c not in COLUMNS]
    if metric not in metrics:
        faults.append(f"the table of results has no metric {metric!r}; {nearest(metric, metrics)}")
    if not missing and structure is not None and not (table["structure"] == structure).any():
        known = map(str, table["structure"].unique())
        faults.append(f"the table of results has no structure {structure!r}; {nearest(structure, known)}")
    if faults:
        raise ValueError("\n".join(faults))
