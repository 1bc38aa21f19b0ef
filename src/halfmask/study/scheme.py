"""All runs of a study on one data set, described and checked before the first begins."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from halfmask.data.plan import Plan
from halfmask.data.split import Splits
from halfmask.study.grid import Trial, trials
from halfmask.study.job import Job
from halfmask.study.jobs import Place, need_of, preparations, pretrainings, run_job, shared
from halfmask.study.measure import Cost
from halfmask.study.protocol import Study
from halfmask.study.runs import RUNS, described, of_trial
from halfmask.training.cases import check_cases, unfit_choice
from halfmask.training.run import Run
from halfmask.training.validation import validated


@dataclass(frozen=True)
class Scheme:
    """A study with its data set's plan and splits, and the description of each run.

    Attributes:
        trials: all of them; runs: by name, those that this version can do.
    """

    study: Study
    place: Place
    plan: Plan
    splits: Splits
    trials: Sequence[Trial]
    runs: Mapping[str, Run]

    @property
    def able(self) -> list[Trial]:
        """The trials that can be run."""
        return [trial for trial in self.trials if trial.name in self.runs]

    @property
    def adapts(self) -> bool:
        """Whether some run knows of domains."""
        return any(run.source is not None or run.target is not None for run in self.runs.values())

    def folder(self, trial: Trial) -> Path:
        return self.place.out / RUNS / trial.name

    def kinds(self) -> dict[str, Run]:
        """A run of each arm, to see what it takes: memory and time hardly depend on the labels."""
        return {trial.arm.title: self.runs[trial.name] for trial in reversed(self.able)}

    def jobs(self, costs: Mapping[str, Cost], threads: int, *, given: str = "") -> list[Job]:
        """The jobs but for the preparation.

        Args:
            given: the `store_key` of what they are made from.

        Raises:
            ValueError: the folder holds runs of the same names that are others.
        """
        users = shared(self.able)
        needs = [need_of(costs[trial.arm.title], threads) for trial in users.values()]  # a step is much like theirs
        found = [replace(job, need=need) for job, need in
                 zip(pretrainings(users, self.study, self.place), needs, strict=True)]  # fmt: skip
        found += [
            run_job(self.study, t, self.runs[t.name], self.place, costs[t.arm.title], threads=threads)
            for t in self.able
        ]
        found = [replace(job, given=given) for job in found]
        changed = [f"{job.name}: {told}" for job in found if (told := job.differs())]
        if changed:
            some = "\n".join(changed[:5]) + (f"\nand {len(changed) - 5} more" if len(changed) > 5 else "")
            raise ValueError(
                f"{self.place.out} holds runs of another study; give another --out, or remove these runs' folders:\n"
                + some
            )
        return found

    def seconds(self, trial: Trial, cost: Cost) -> tuple[float, float]:
        """What a run is expected to take, and the share of it that is training."""
        fold = self.splits.folds[trial.fold]
        steps = self.runs[trial.name].recipe.steps or 0
        seen = len(validated(fold, self.plan)) * min(self.study.validations, steps)
        training = (cost.start + steps * cost.step + seen * cost.case) * trial.trains
        measured = len(self.splits.test if self.study.measured_on == "test" else fold)
        total = training + 2 * measured * cost.case  # on the image's own grid it takes longer, and is measured
        return total, training / total if total else 0.0


def make_scheme(study: Study, place: Place, plan: Plan, splits: Splits, *, device: str) -> Scheme:
    """Describe every run.

    Raises:
        ValueError: with all that cannot be done: budgets beyond the labels, folds that are not there, settings that
            do not fit each other or the plan.
    """
    folds = range(len(splits.folds)) if study.folds == "all" else study.folds
    every = trials(study, folds)
    faults = list(_faults(study, splits, folds, place, every))
    common: dict[str, Run] = {}
    runs = {}
    for trial in every:
        if not trial.arm.missing:
            title = trial.arm.title
            with _noted(faults, title):
                if title not in common:  # a network is built to see whether it can be, which takes its time
                    common[title] = described(study, trial.arm, plan, device=device)
                runs[trial.name] = of_trial(common[title], trial, place.out)
            with _noted(faults, trial.budget.title):
                if trial.fold < len(splits.folds) and (run := runs.get(trial.name)):
                    check_cases(run, splits)
                    if study.checkpoint == "best" and (unfit := unfit_choice(run, splits)):
                        faults.append(f"{trial.arm.title}: {unfit}")
    if faults:
        raise ValueError("\n".join(dict.fromkeys(faults)))
    return Scheme(study, place, plan, splits, every, runs)


def preparation_jobs(study: Study, place: Place) -> list[Job]:
    """The preparations that some run needs."""
    variants = {t.arm.pretraining.label: t.arm.pretraining for t in trials(study, [0]) if not t.arm.missing}
    return preparations(study, place, list(variants.values()))


def _faults(study: Study, splits: Splits, folds: Sequence[int], place: Place, every: Sequence[Trial]) -> Iterator[str]:
    for fold in folds:
        if fold >= len(splits.folds):
            yield f"there is no fold {fold}; the data set has {len(splits.folds)}, counted from 0"
        elif not splits.folds[fold] and study.measured_on == "fold":
            yield f"fold {fold} holds out no case that could be measured; take measured_on: test"
        elif not splits.folds[fold] and study.checkpoint == "best":
            yield f"fold {fold} holds out no case that could choose a checkpoint; take checkpoint: last"
    if study.measured_on == "test" and not splits.test:
        yield "no case is sealed, so nothing can be measured; raise prepare: {test: …}, or take measured_on: fold"
    if study.checkpoint == "best" and not study.validations:
        yield "checkpoint best is chosen in validation; raise validations above 0"
    if place.pretraining_data is None:
        yield from (
            f"pretraining {t.arm.pretraining.label!r} has a data set of its own; give it by --pretraining-data"
            for t in every
            if t.arm.pretraining.data and not t.arm.missing
        )


@contextlib.contextmanager
def _noted(faults: list[str], what: str) -> Iterator[None]:
    try:
        yield
    except ValueError as e:
        faults += [f"{what}: {line}" for line in str(e).splitlines()]
