"""A study's way to its results: prepare, measure what runs take, carry them out, collect."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from halfmask.data.atomic import write_text
from halfmask.data.store import Store
from halfmask.progress import say
from halfmask.study import results
from halfmask.study.crew import Crew
from halfmask.study.job import DONE, LOG, Job, Need, noted
from halfmask.study.jobs import Place, need_of, store_key
from halfmask.study.measure import Cost, cost_of, measure
from halfmask.study.protocol import Study
from halfmask.study.runner import carry_out
from halfmask.study.runs import STORE
from halfmask.study.scheme import Scheme, make_scheme, preparation_jobs
from halfmask.study.supervise import Outcome
from halfmask.study.watch import Expected, Watch
from halfmask.training.run import Run

COSTS = "costs.json"
CACHE = 0.3
"""Share of memory in which all runs together hold cases."""


def conduct(
    study: Study, place: Place, store: Store, crew: Crew, *, device: str, smoke: bool = False
) -> dict[str, Outcome]:
    """Do what is left of a study in its folder; manifest and table of figures are kept up to date meanwhile.

    Args:
        store: what `prepare` gives.

    Returns:
        the outcome of each run, by its name.

    Raises:
        ValueError: runs cannot be made, all of them told before any begins.
        Stopped: a signal came; all is saved.
    """
    scheme = make_scheme(study, place, store.plan, store.splits, device=device)
    costs = costs_of(scheme, store, crew, device, place.out / COSTS)
    together, threads = crew.split([need_of(costs[trial.arm.title]) for trial in scheme.able])
    jobs = scheme.jobs(costs, threads, given=store_key(store, domains=scheme.adapts))
    say(f"{len(scheme.able)} runs, {together} at once with {threads} CPU thread{'s' * (threads > 1)} each")
    record = results.Record(place.out, study, scheme.trials, store.splits, smoke=smoke)
    done = finished(scheme, jobs)
    for trial in scheme.able:
        if trial.name in done and not record.reads(trial):
            say(f"{trial.name} is measured anew, as its figures cannot be read")
            (scheme.folder(trial) / DONE).unlink()
    with Watch(_expected(scheme, costs), together) as watch:

        def look(outcomes: Mapping[str, Outcome], running: Sequence[str]) -> None:
            watch(outcomes, running)
            record(outcomes, running)

        environment = _surroundings(together, threads, device)
        outcomes = carry_out(jobs, crew, place.out, environment=environment, watch=look)
    for trial in scheme.able:
        if outcomes[trial.name].state == "done" and not record.reads(trial):
            say(f"warning: {scheme.folder(trial)} is done, but its figures cannot be read; give the same command again")
    return {trial.name: outcomes[trial.name] for trial in scheme.able}


def prepare(study: Study, place: Place, crew: Crew) -> Store:
    """The study's store, and those that are pre-trained on.

    Raises:
        ValueError: what `halfmask prepare` said.
    """
    jobs = preparation_jobs(study, place)
    for job in jobs:
        if not (place.out / job.commands[0][3] / "index.json").is_file():
            (job.folder / DONE).unlink(missing_ok=True)
        if told := job.differs():
            raise ValueError(f"{place.out} holds a store of another study: {told}; give another --out")
    if left := [job for job in jobs if not job.is_done()]:
        say(f"preparing {', '.join(job.commands[0][1] for job in left)}; see {left[0].folder / LOG}")
    for name, outcome in carry_out(jobs, crew, place.out).items():
        if outcome.state == "failed":
            raise ValueError(f"{name}: {outcome.error}")
    if not (place.out / STORE / "index.json").is_file():
        raise ValueError(f"{place.out / STORE} was prepared, but not here; all computers have to see it by this path")
    return Store(place.out / STORE)


def finished(scheme: Scheme, jobs: Sequence[Job]) -> set[str]:
    """Names of the jobs that are done. One that takes another's training is not, once that is to be done anew."""
    done = {job.name for job in jobs if job.is_done()}
    for trial in scheme.able:
        if trial.name in done and trial.trained not in done:
            say(f"{trial.name} is predicted anew, as {trial.trained} is trained anew")
            (scheme.folder(trial) / DONE).unlink()
            done.remove(trial.name)
    return done


def costs_of(scheme: Scheme, store: Store, crew: Crew, device: str, file: Path) -> dict[str, Cost]:
    """What each arm's runs take; measured once, and remembered in ``file``.

    One that cannot take a step is taken for the largest of the others; its runs will tell what is wrong.
    """
    _, threads = crew.split([Need() for _ in scheme.able])
    known = {key: cost for key, told in noted(file).items() if (cost := cost_of(told)) is not None}
    kinds = {title: _alone(run) for title, run in scheme.kinds().items()}
    keys = {title: _key(run, store, threads, device) for title, run in kinds.items()}
    new = {title: asdict(run) for title, run in kinds.items() if keys[title] not in known}
    if new:
        say(f"measuring what {len(new)} kinds of run take, a few steps each")
        for title, cost in crew.call(measure, new, store.path.resolve(), threads, device).items():
            if cost.error:
                say(f"warning: {title} could not be measured: {cost.error}")
            else:
                known[keys[title]] = cost
        write_text(file, json.dumps({key: asdict(cost) for key, cost in known.items()}, indent=1))
    costs = {title: known[key] for title, key in keys.items() if key in known}
    most = max(costs.values(), key=lambda cost: (cost.gpu, cost.memory), default=Cost())
    return {title: costs.get(title, most) for title in keys}


def _alone(run: Run) -> Run:
    """The run with all labels, in the first fold and from nothing, which any store and any order of jobs allows."""
    return replace(run, labels=None, fold=0, init=None, seed=0, draw=None)


def _key(run: Run, store: Store, threads: int, device: str) -> str:
    told = json.dumps([asdict(run), store.plan.model_dump(mode="json"), threads, device], sort_keys=True)
    return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()


def _expected(scheme: Scheme, costs: Mapping[str, Cost]) -> dict[str, Expected]:
    found = {}
    for trial in scheme.able:
        seconds, training = scheme.seconds(trial, costs[trial.arm.title])
        steps = scheme.runs[trial.name].recipe.steps or 1
        found[trial.name] = Expected(scheme.folder(trial), steps, seconds, training)
    return found


def _surroundings(together: int, threads: int, device: str) -> dict[str, str]:
    """Options of the verbs that change nothing of what comes out, as the environment tells them."""
    return {
        "HALFMASK_TRAIN_DEVICE": device,
        "HALFMASK_PREDICT_DEVICE": device,
        "HALFMASK_TRAIN_CACHE": f"{CACHE / together:.4f}",
        "HALFMASK_TRAIN_THREADS": str(min(2, threads)),
    }
