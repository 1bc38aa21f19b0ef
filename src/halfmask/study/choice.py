"""Which method suits the labels at hand: candidates compared by cross-validation within the labeled cases alone.

The idea is SSL²'s (Wang et al., 2023, arXiv:2303.05026, §2.3), whose strategies are the default candidates, beside the
method that is recommended.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from halfmask import methods
from halfmask.config import nearest
from halfmask.data.atomic import atomic, write_text
from halfmask.data.split import Splits, write_splits
from halfmask.data.store import Store
from halfmask.evaluation.statistics.outcomes import unit_means
from halfmask.evaluation.statistics.paired import difference
from halfmask.evaluation.statistics.sentence import amount, difference_sentence
from halfmask.learning.recipe import Recipe
from halfmask.report.study import read_study
from halfmask.report.study_page import study_page
from halfmask.study.alone import alone
from halfmask.study.conduct import conduct
from halfmask.study.crew import Crew
from halfmask.study.jobs import Place
from halfmask.study.protocol import study_of
from halfmask.study.runs import STORE
from halfmask.training.run import Run

STRATEGIES = (
    "supervised", "mean_teacher", "uncertainty_aware_mean_teacher", "entropy_minimization", "deep_adversarial",
    "fixmatch", "cross_pseudo_supervision",
)  # fmt: skip
"""Supervised training and the six of SSL², Table 2."""
SEARCH, CHOICE, CASES = "search", "choice.json", "cases.csv"
FOLDS = 3
"""Parts of the labeled groups, of which each is held out once; as many as there are groups if they are fewer."""


@dataclass(frozen=True)
class Choice:
    """What a search found.

    Attributes:
        method, runner_up: the best two candidates by mean Dice over the units that were held out.
        dice: by candidate.
        told: winner, runner-up and margin in a sentence.
    """

    method: str
    runner_up: str
    dice: dict[str, float]
    told: str


def candidates_of(asked: Sequence[str] | None) -> list[str]:
    """The methods to compare.

    Raises:
        ValueError: unknown names, all of them, or fewer than two.
    """
    if asked is None:
        return list(dict.fromkeys([*STRATEGIES, methods.RECOMMENDED]))
    known = methods.names("semisupervised")
    faults = [f"no method is called {name!r}; {nearest(name, known)}" for name in asked if name not in known]
    if len(set(asked)) < 2:
        faults.append(f"a search compares at least two methods, got {', '.join(asked) or 'none'}")
    if faults:
        raise ValueError("\n".join(faults))
    return list(dict.fromkeys(asked))


def choose(
    run: Run,
    asked: Recipe,
    store: Store,
    out: Path,
    crew: Crew,
    *,
    labeled: Sequence[str],
    candidates: Sequence[str],
    device: str,
) -> Choice:
    """Train the candidates on parts of the labeled cases, measure each on the part that it was not given.

    No other label is read: the run's fold stays held out, the test part sealed. What was done before is kept.

    Args:
        run: what all trainings have in common, whatever its method; asked: what the user wants of their recipe.
        out: the run's folder; the search gets one in it, with a report of its own.
        labeled: the cases whose labels may be used.

    Raises:
        ValueError: labels of fewer than two groups, or a candidate could not be trained.
        Stopped: a signal came; all is saved.
    """
    place = Place(out.resolve() / SEARCH, out.resolve() / SEARCH / CASES)
    study = study_of(
        {
            "name": f"Search among {len(candidates)} methods",
            "question": f"Which method suits these {len(labeled)} labeled cases?",
            "methods": dict.fromkeys(candidates),
            "networks": {run.network: run.network_settings},
            "pretraining": {} if run.init is None else {"init": {"init": run.init}},
            "recipe": _recipe(asked),
            "folds": "all",
            "seeds": [run.seed],
            "precision": run.precision,
            "measured_on": "fold",
            "validations": 0,
        },
        where="the search",
    )
    with alone(place.out):
        view = _view(store, place.out / STORE, labeled, run.fold)
        _write_cases(store, labeled, place.data)
        outcomes = conduct(study, place, view, crew, device=device)
    if failed := [f"{name}: {o.error}" for name, o in outcomes.items() if o.state != "done"]:
        raise ValueError("the search cannot tell, as trainings failed:\n" + "\n".join(failed))
    found = _best(place.out)
    write_text(place.out / "report.html", study_page(place.out).html)
    write_text(out / CHOICE, json.dumps(asdict(found), indent=1))
    return found


def _recipe(asked: Recipe) -> dict[str, Any]:
    """As a study file has it."""
    told = {name: value for name, value in asdict(asked).items() if value is not None}
    labeled, unlabeled = told.pop("labeled", None), told.pop("unlabeled", None)
    batch = f"{labeled}" if unlabeled is None else f"{labeled}+{unlabeled}"
    return told if labeled is None else {**told, "batch": batch}


def _best(folder: Path) -> Choice:
    read = read_study(folder)
    (budget,) = read.budgets
    method = {run["arm"]: str(run["method"]) for run in read.runs}
    dice = {arm: float(unit_means(read.table, arm=arm, budget=budget).mean()) for arm in read.arms}
    first, second, *_ = sorted(dice, key=lambda arm: -dice[arm])
    tested = difference(read.table, arm=first, rival=second, budget=budget)
    assert tested is not None
    told = (
        f"{method[first]} was chosen among {len(dice)} methods by cross-validation within the labeled cases, with a "
        f"mean Dice of {dice[first]:.3f}; the runner-up is {method[second]}, "
        f"{amount(dice[first] - dice[second], 'dice')} behind ({difference_sentence(tested)})."
    )
    return Choice(method[first], method[second], {method[arm]: value for arm, value in dice.items()}, told)


def _view(store: Store, folder: Path, labeled: Sequence[str], fold: int) -> Store:
    """The same prepared cases, split anew: parts of the labeled groups are the folds, what the run may not see is
    sealed."""
    splits = store.splits
    groups = list(dict.fromkeys(splits.group(name) for name in labeled))
    if len(groups) < 2:
        raise ValueError(
            f"a search holds out one part of the labeled groups after the other, so it needs two at least; there is "
            f"{len(groups)}. Give more --labels, or choose a method yourself"
        )
    count = min(FOLDS, len(groups))
    parts = [tuple(n for n in labeled if splits.group(n) in groups[i::count]) for i in range(count)]
    held = splits.held(fold)
    sealed = tuple(n for n in store.sources if splits.group(n) in held)
    own = Splits((*splits.test, *sealed), tuple(parts), (tuple(labeled),), splits.groups, domains=splits.domains)
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("plan.yaml", "index.json"):
        write_text(folder / name, (store.path / name).read_text(encoding="utf-8"))
    write_splits(own, folder / "splits.yaml")
    link = folder / "cases"
    link.unlink(missing_ok=True)  # the store may have moved
    os.symlink((store.path / "cases").resolve(), link, target_is_directory=True)
    return Store(folder)


def _write_cases(store: Store, labeled: Sequence[str], file: Path) -> None:
    """The labeled cases as a data set, for what is measured."""
    with atomic(file) as partial, open(partial, "w", encoding="utf-8", newline="") as text:
        table = csv.writer(text)
        table.writerow(["case", "image", "label"])
        for name in labeled:
            case = store.sources[name]
            table.writerow([name, str(case.images[0].resolve()), str(case.label)])
