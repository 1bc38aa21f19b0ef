"""The cells of a paper's table: an arm's figures at a budget, a figure a unit."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import pandas as pd

from halfmask.evaluation.metrics import VOLUME
from halfmask.evaluation.statistics.seeds import interval
from halfmask.evaluation.table import MEAN
from halfmask.report.figures import best_of
from halfmask.report.study import DRAWN, Study, why_not


@dataclass(frozen=True)
class Cell:
    """An arm at a budget.

    Attributes:
        values: the figure of each unit (patient, or case where there are no groups; in classification each seed).
        undefined: how many cases of how many runs had none; they are left out.
        done, planned: runs.
        seeds: whether the units are seeds.
        why: what keeps the other runs from having figures, each reason once.
    """

    values: pd.Series
    undefined: int
    done: int
    planned: int
    why: tuple[str, ...]
    seeds: bool = False

    @property
    def mean(self) -> float:
        return float(self.values.mean())

    @property
    def spread(self) -> float:
        """Standard deviation over units (n − 1), of seeds the half-width of the 95 % interval; NaN for one."""
        return interval(self.values.to_numpy(float)).half if self.seeds else float(self.values.std())

    @property
    def whole(self) -> bool:
        """Whether all its runs have figures."""
        return self.done == self.planned > 0


Cells = Mapping[tuple[str, str], Cell]


def cells(study: Study, metric: str = "dice", structure: str | None = None) -> dict[tuple[str, str], Cell]:
    """All cells, by arm and budget; of a structure, or of the mean over them, undefined if one of them is."""
    table = study.table
    where: list[Hashable] = ["arm", "budget"]
    runs = table.groupby(where)["run"].nunique().to_dict()
    values: dict[Hashable, pd.Series] = {}
    undefined: dict[Hashable, int] = {}
    if len(table) and study.classifies:
        values, undefined = seed_figures(table, metric, structure or MEAN)
    elif len(table):
        figures = case_figures(table, metric, structure)
        undefined = figures.isna().astype(int).groupby(where).sum().to_dict()
        by_run = figures.groupby([*where, *DRAWN, "group"]).mean()
        by_unit = by_run.groupby([*where, "group"]).mean().dropna()
        values = {key: found.droplevel(where) for key, found in by_unit.groupby(where)}
    made = {}
    for arm in study.arms:
        for budget in study.budgets:
            key, planned = (arm, budget), study.planned(arm, budget)
            why = tuple(dict.fromkeys(told for run in planned if (told := why_not(run))))
            found = values.get(key, pd.Series(dtype=float))
            made[key] = Cell(found, undefined.get(key, 0), runs.get(key, 0), len(planned), why, study.classifies)
    return made


def case_figures(table: pd.DataFrame, metric: str, structure: str | None = None) -> pd.Series:
    """One figure for each arm, budget, run, group and case, all cells at once; as `statistics.outcomes` takes it.

    NaN if the metric is undefined for one of the structures, or its row is missing; volume errors by their size.
    """
    structures = table["structure"].nunique() if structure is None else 1
    rows = table if structure is None else table[table["structure"] == structure]
    figures = rows[metric].abs() if metric in VOLUME else rows[metric]
    found = figures.groupby([rows[key] for key in ("arm", "budget", *DRAWN, "group", "case")]).agg(["mean", "count"])
    return found["mean"].where(found["count"] == structures)


def seed_figures(
    table: pd.DataFrame, metric: str, structure: str
) -> tuple[dict[Hashable, pd.Series], dict[Hashable, int]]:
    """By arm and budget the figure of each draw and seed, and how many runs have none.

    Folds are averaged: they share their draw and seed, and lie within one another's trainings.
    """
    where: list[Hashable] = ["arm", "budget"]
    rows = table[table["structure"] == structure]
    undefined = rows[metric].isna().astype(int).groupby([rows[key] for key in where]).sum().to_dict()
    by_seed = rows.groupby([*where, "draw", "seed"])[metric].mean().dropna()
    return {key: found.droplevel(where) for key, found in by_seed.groupby(where)}, undefined


def ranks(metric: str, column: Mapping[str, Cell]) -> tuple[set[str], set[str]]:
    """The best and the second best arms of a column; only cells whose runs have all been made are set against others.

    What is shown as equal is equally good; where all are, none is the best. No second is named of two.
    """
    whole = {
        arm: {"mean": cell.mean, "undefined": cell.undefined}
        for arm, cell in column.items()
        if cell.whole and len(cell.values)
    }
    best = best_of(metric, whole)
    if len(best) == len(whole):
        return set(), set()
    rest = {arm: row for arm, row in whole.items() if arm not in best}
    return best, best_of(metric, rest) if best else set()


def partial(found: Cells) -> bool:
    """Whether a cell has figures of some of its runs only."""
    return any(0 < cell.done < cell.planned for cell in found.values())
