"""What a study left behind, read for the report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from halfmask.evaluation.statistics.outcomes import unit_word
from halfmask.evaluation.table import MEAN

MANIFEST, RESULTS = "study.json", "results.csv"
FORMAT = 1
TEXTS = ["arm", "budget", "method", "network", "pretraining", "run", "case", "domain", "group", "structure"]
DRAWN = ["fold", "draw", "seed"]
"""What tells the runs of a cell apart."""
COUNTS = ["labels", *DRAWN]
KEYS = [*TEXTS, *COUNTS, "slices"]
"""The columns of results.csv that are no metrics."""
WANTED = ("name", "arms", "budgets", "runs", "measured_on", "checkpoint", "study")
MEASURED = {"segmentation": "dice", "classification": "auc"}
"""By task, the metric that comes first."""
WORDS = {"missing": "its method does not exist in this version", "failed": "failed", "waiting": "still waiting",
         "running": "still running"}  # fmt: skip
"""What keeps a run from having figures."""


@dataclass(frozen=True)
class Study:
    """A study folder.

    Attributes:
        told: study.json.
        table: what the study is judged by: of `every` row those of the target's cases, in domain adaptation.
        every: results.csv, a row for each finished run, case and structure; metrics are NaN where undefined.
        target: the domains adapted to, as far as cases of them were measured; empty where ``table`` is of all cases.
    """

    folder: Path
    told: dict[str, Any]
    table: pd.DataFrame
    every: pd.DataFrame
    target: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return str(self.told["name"])

    @property
    def arms(self) -> list[str]:
        return list(self.told["arms"])

    @property
    def budgets(self) -> list[str]:
        return list(self.told["budgets"])

    @property
    def runs(self) -> list[dict[str, Any]]:
        return list(self.told["runs"])

    @property
    def baseline(self) -> str | None:
        """The arm to beat, if it is one of the study's."""
        found = self.told.get("baseline")
        return found if found in self.arms else None

    @property
    def ceiling(self) -> str | None:
        """The arm that learned from labels of the target, so that it is no rival to the others."""
        found = self.told.get("ceiling")
        return found if found in self.arms else None

    @property
    def of_target(self) -> str:
        """What ends a note on cases: `` of the target B``; nothing where they are of all domains."""
        return f" of the target {', '.join(self.target)}" if self.target else ""

    @property
    def smoke(self) -> bool:
        return bool(self.told.get("smoke"))

    @property
    def classifies(self) -> bool:
        """Whether its runs give classes to whole images; else they segment."""
        return bool(self.told.get("task") == "classification")

    @property
    def metric(self) -> str:
        """The metric that comes first."""
        return MEASURED["classification" if self.classifies else "segmentation"]

    @property
    def metrics(self) -> list[str]:
        return [column for column in self.table.columns if column not in KEYS]

    @property
    def structures(self) -> list[str]:
        found = map(str, self.table["structure"].unique())
        return [s for s in found if not (self.classifies and s == MEAN)]

    @property
    def unit(self) -> str:
        """What is counted as one: patients, unless every case is a group of its own; in classification seeds."""
        return "seed" if self.classifies else unit_word(self.table)

    def trained(self, run: str) -> Path:
        """The folder of the training behind a run: its own, or that of a run that differs in prediction alone."""
        told = {str(each["name"]): str(each.get("trained") or each["name"]) for each in self.runs}
        return self.folder / "runs" / told.get(run, run)

    def of(self, arm: str, budget: str) -> pd.DataFrame:
        """The rows of one cell of the paper's table."""
        return self.table[(self.table["arm"] == arm) & (self.table["budget"] == budget)]

    def planned(self, arm: str, budget: str) -> list[dict[str, Any]]:
        """The runs of that cell, finished or not."""
        return [run for run in self.runs if run["arm"] == arm and run["budget"] == budget]

    def by_size(self) -> list[str]:
        """The budgets that have figures, from the fewest labels to the most, then by the share of slices."""
        if self.table.empty:
            return []
        sizes = self.table.groupby("budget")[["labels", "slices"]].mean().sort_values(["labels", "slices"])
        return [str(budget) for budget in sizes.index]

    def measured(self) -> list[str]:
        """The arms that have figures, in their order."""
        have = set(self.table["arm"])
        return [arm for arm in self.arms if arm in have]


def is_study(folder: Path) -> bool:
    """Whether a study was begun there."""
    return (folder / MANIFEST).is_file()


def read_study(folder: Path) -> Study:
    """Read study.json and, once a run has finished, results.csv.

    Raises:
        ValueError: a file is not as `halfmask study` writes it.
    """
    told = _manifest(folder / MANIFEST)
    file, metric = folder / RESULTS, MEASURED[told["task"]]
    every = _results(file, metric) if file.is_file() else pd.DataFrame(columns=[*KEYS, metric])
    target = _target(told, every)
    table = every[every["domain"].isin(target)].reset_index(drop=True) if target else every
    return Study(folder, told, table, every, target)


def _target(told: dict[str, Any], every: pd.DataFrame) -> tuple[str, ...]:
    """Those named, else all but the source; a classifier's figures are of all cases together."""
    measured = sorted(set(map(str, every["domain"])) - {""})
    source = (told.get("study") or {}).get("source")
    wanted = told.get("target") or ([name for name in measured if name not in source] if source else [])
    return () if told["task"] == "classification" else tuple(name for name in measured if name in wanted)


def why_not(run: dict[str, Any]) -> str:
    """Why a run has no figures: ``failed: out of memory``; nothing if it is done."""
    if run["state"] == "done":
        return ""
    said = WORDS.get(run["state"], str(run["state"]))
    if not run.get("error"):
        return said
    return str(run["error"]) if run["state"] == "missing" else f"{said}: {run['error']}"


def _manifest(file: Path) -> dict[str, Any]:
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        if told["format"] != FORMAT:
            raise ValueError(f"format {told['format']}, this version reads {FORMAT}")
        if lacking := [key for key in WANTED if key not in told]:
            raise ValueError(f"no {', '.join(lacking)}")
        if (task := told.setdefault("task", "segmentation")) not in MEASURED:
            raise ValueError(f"task {task}, this version reports on {' and '.join(MEASURED)}")
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise ValueError(
            f"{file} is not as `halfmask study` writes it ({type(e).__name__}: {e}); run the study again, "
            "nothing that has finished is repeated"
        ) from e
    return dict(told)


def _results(file: Path, metric: str) -> pd.DataFrame:
    """Names stay text: a case may be called ``007`` or ``NA``."""
    table = pd.read_csv(file, dtype=str, keep_default_na=False)
    table["domain"] = table.get("domain", "")  # older ones know none
    if lacking := [key for key in [*KEYS, metric] if key not in table]:
        raise ValueError(f"{file} has no column {', '.join(lacking)}; run the study again, it collects the table anew")
    numbers = table.columns.difference(TEXTS)
    try:
        table[numbers] = table[numbers].replace("", "nan").astype(float)
    except ValueError as e:
        raise ValueError(f"{file} holds text where a figure belongs ({e}); collect the table anew") from e
    table[COUNTS] = table[COUNTS].astype(int)
    return table
