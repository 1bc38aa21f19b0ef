"""What has come of a study's runs: one table of all figures, and the manifest that says what they are."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from halfmask.data.atomic import write_text
from halfmask.data.split import Splits
from halfmask.evaluation import table
from halfmask.evaluation.class_table import METRICS, read_metrics
from halfmask.report.study import FORMAT, MANIFEST, RESULTS
from halfmask.study.grid import Trial, arms, budgets
from halfmask.study.protocol import Study
from halfmask.study.runs import RUNS
from halfmask.study.supervise import Outcome


class Record:
    """Keeps study.json and results.csv up to date while runs end; call it with what has come of the jobs so far.

    Args:
        trials: all of them; figures are of those whose outcome is "done", whatever lies in the folders of others.
    """

    def __init__(self, out: Path, study: Study, trials: Sequence[Trial], splits: Splits, *, smoke: bool):
        self.out, self.study, self.trials, self.splits, self.smoke = out, study, trials, splits, smoke
        self.git = git_state()
        self.seen: object = None
        self.figures: dict[str, pd.DataFrame] = {}

    def __call__(self, outcomes: Mapping[str, Outcome], running: Sequence[str]) -> None:
        if (now := (set(outcomes), set(running))) == self.seen:
            return
        self.seen = now
        write_manifest(self.out, self.study, self.trials, outcomes, running=running, smoke=self.smoke, git=self.git)
        done = [t for t in self.trials if t.name in outcomes and outcomes[t.name].state == "done"]
        found = [self.figures[trial.name] for trial in done if self.reads(trial)]
        if found:
            table.write(pd.concat(found, ignore_index=True), self.out / RESULTS)
        else:
            (self.out / RESULTS).unlink(missing_ok=True)

    def reads(self, trial: Trial) -> bool:
        """Whether the figures of a finished run can be read; on a cluster's disk they may take a moment to show."""
        if trial.name not in self.figures:
            try:
                self.figures[trial.name] = figures_of(self.out, trial, self.splits)
            except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError):
                return False
        return True


def figures_of(out: Path, trial: Trial, splits: Splits) -> pd.DataFrame:
    """The figures of a run, a row for each case and structure.

    ``labels`` counts the labeled groups (patients) that the run had, ``group`` is the patient of the case.
    """
    folder = out / RUNS / trial.name
    whole = (folder / "classes").is_dir()
    read = _of_images(folder / "classes" / METRICS) if whole else table.read(folder / "masks" / METRICS)
    run = yaml.safe_load((out / RUNS / trial.trained / "run.yaml").read_text(encoding="utf-8"))
    told = {
        "arm": trial.arm.title,
        "budget": trial.budget.title,
        "labels": len({splits.group(case) for case in run["labeled_cases"]}),
        "slices": trial.budget.slices,
        "method": trial.arm.method,
        "network": run["network"],
        "pretraining": trial.arm.pretraining.label,
        "fold": trial.fold,
        "draw": trial.seed if trial.draw is None else trial.draw,
        "seed": trial.seed,
        "run": trial.name,
        "case": read["case"],
        "domain": read["case"].map(lambda case: splits.domains.get(case, "")),
        "group": read["case"] if whole else read["case"].map(splits.group),
    }
    return pd.concat([pd.DataFrame(told, index=read.index), read.drop(columns="case")], axis=1)


def _of_images(file: Path) -> pd.DataFrame:
    """Figures of whole images' classes are of all cases together."""
    return pd.DataFrame(
        [{"case": "all", "structure": name, **row} for name, row in read_metrics(file).items()]
    )  # fmt: skip


def write_manifest(
    out: Path,
    study: Study,
    trials: Sequence[Trial],
    outcomes: Mapping[str, Outcome],
    *,
    running: Sequence[str] = (),
    smoke: bool,
    git: Mapping[str, Any] | None,
) -> None:
    """Write study.json: what was compared, and how each run ended."""
    told = {
        "format": FORMAT,
        "name": study.name,
        "question": study.question,
        "smoke": smoke,
        "task": "classification" if study.classifies else "segmentation",
        "baseline": baseline(study),
        "ceiling": study.ceiling,
        "target": study.target,
        "arms": [arm.title for arm in arms(study)],
        "budgets": [budget.title for budget in budgets(study)],
        "measured_on": study.measured_on,
        "checkpoint": study.checkpoint,
        "study": study.model_dump(mode="json", exclude_defaults=True),
        "git": git,
        "reported": None if study.reported is None else study.reported.model_dump(),
        "runs": [_told(trial, outcomes.get(trial.name), trial.name in running) for trial in trials],
    }
    write_text(out / MANIFEST, json.dumps(told, indent=1))


def baseline(study: Study) -> str | None:
    """The arm that others are set against: the one named, else the first that is supervised training alone.

    The ceiling is none, so that there is a gap between the two.
    """
    if study.baseline is not None:
        return study.baseline
    alone = "classification" if study.classifies else "supervised"
    return next((arm.title for arm in arms(study) if arm.method == alone and arm.title != study.ceiling), None)


def git_state() -> dict[str, Any] | None:
    """The commit that halfmask was run from, and whether files differ from it; None if it was installed."""
    here = Path(__file__).parent
    ask = lambda *words: subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, check=True).stdout
    try:
        if not ask("ls-files", Path(__file__).name).strip():
            return None  # installed somewhere within another project's repository
        return {"commit": ask("rev-parse", "HEAD").strip(), "changed": bool(ask("status", "--porcelain", "-uno"))}
    except (OSError, subprocess.CalledProcessError):
        return None


def _told(trial: Trial, outcome: Outcome | None, running: bool) -> dict[str, Any]:
    state = "missing" if trial.arm.missing else outcome.state if outcome else "running" if running else "waiting"
    return {
        "name": trial.name,
        "trained": trial.trained,
        "arm": trial.arm.title,
        "budget": trial.budget.title,
        "method": trial.arm.method,
        "network": trial.arm.network.label,
        "pretraining": trial.arm.pretraining.label,
        "labels": trial.budget.labels,
        "slices": trial.budget.slices,
        "fold": trial.fold,
        "draw": trial.seed if trial.draw is None else trial.draw,
        "seed": trial.seed,
        "state": "waiting" if state == "stopped" else state,
        "error": trial.arm.missing or (outcome.error if outcome else "") or None,
        "seconds": outcome.seconds if outcome else None,
    }
