"""What each run of a study is: the same description that `halfmask train` makes of its options."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from halfmask.data.plan import Plan
from halfmask.inference.test_time import Adaptation, refuse_unfit
from halfmask.learning.recipe import BASE, Recipe
from halfmask.study.grid import Arm, Trial
from halfmask.study.protocol import Study, Training
from halfmask.study.rows import slug
from halfmask.training.device import precision_of
from halfmask.training.pretrained import named
from halfmask.training.run import Run, describe, make_method

STORE, RUNS, PRETRAINED = "store", "runs", "pretrained"
"""What a study's folder holds: one store, its runs, and what they start from."""


def described(study: Study, arm: Arm, plan: Plan, *, device: str) -> Run:
    """What all trainings of an arm have in common.

    Raises:
        ValueError: settings that do not fit each other or the plan, all of them; or the network has no norms of the
            kind that the method, or the arm's prediction, needs.
    """
    settings = arm.settings | {f"network.{name}": value for name, value in arm.network.settings.items()}
    run = describe(
        plan,
        arm.method,
        settings=settings,
        network=arm.network.name,
        recipe=recipe(study, _own(arm), plan),
        slice_axis=study.slice_axis,
        source=arm.source,
        target=arm.target,
        precision=precision_of(study.precision, device),
    )
    with torch.device("meta"):  # shapes only, as when the network was tried
        method = make_method(plan, run)
    if (kind := arm.predict.test_time) is not None:
        refuse_unfit(method, Adaptation(kind))
    return run


def _own(arm: Arm) -> Training:
    """The row's recipe; a batch that is one count has only the images that the method reads."""
    batch = arm.recipe.batch
    if not arm.unlabeled or batch is None or "+" in batch:
        return arm.recipe
    return arm.recipe.model_copy(update={"batch": f"1+{batch}"})


def of_trial(run: Run, trial: Trial, out: Path) -> Run:
    """One training of an arm.

    Args:
        run: what it has in common with the arm's others.
        out: the study's folder.
    """
    return dataclasses.replace(
        run,
        labels=labels(trial.budget.labels),
        slices=trial.budget.slices,
        fold=trial.fold,
        seed=trial.seed,
        draw=trial.draw,
        init=init(trial.arm, trial.fold, out),
    )


def recipe(study: Study, own: Training, plan: Plan) -> Recipe:
    """What is asked of a run: the row's recipe over the study's, and the same rest for all unless as the papers."""
    asked = _recipe(own).over(_recipe(study.recipe))
    if not study.as_the_papers:
        asked = asked.over(Recipe(labeled=plan.labeled, unlabeled=plan.unlabeled)).over(BASE)
    return dataclasses.replace(asked, momentum=None) if asked.optimizer not in (None, "sgd") else asked


def _recipe(training: Training) -> Recipe:
    told = training.model_dump(exclude={"batch"})
    labeled, _, unlabeled = (training.batch or "").partition("+")
    return Recipe(**told, labeled=int(labeled) if labeled else None, unlabeled=int(unlabeled) if unlabeled else None)


def labels(text: str) -> int | float | None:
    """A budget of a study file, as `Splits.labeled` takes it."""
    if text in ("all", "none"):  # what reads no labels has none to choose from
        return None
    return float(text[:-1]) / 100 if text.endswith("%") else int(text)


def init(arm: Arm, fold: int, out: Path) -> str | None:
    """What a run notes of where its first weights are from."""
    if arm.pretraining.init is not None:
        return named(Path(arm.pretraining.init))
    return None if arm.pretraining.method is None else str((out / PRETRAINED / pretrained_name(arm, fold)).resolve())


def pretrained_name(arm: Arm, fold: int) -> str:
    """The folder of a pre-training: each network has its own unless one serves all, and on the study's images each
    fold, as they hold out others."""
    network = arm.pretraining.network or arm.network
    parts = [arm.pretraining.label, network.label, "" if arm.pretraining.data else f"f{fold}"]
    return "-".join(slug(part) for part in parts if part)
