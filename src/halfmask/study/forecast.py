"""What a study would do and take, without doing it: its runs, what they share, what is missing, time and memory."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from halfmask.data import prepare as preparing
from halfmask.data.draw import FOLDS, draw_splits
from halfmask.data.index import Index
from halfmask.data.layouts import read_index
from halfmask.data.split import Splits
from halfmask.data.store import Store
from halfmask.report.settings import duration
from halfmask.study.conduct import COSTS, costs_of, need_of
from halfmask.study.crew import Crew
from halfmask.study.grid import Trial, budgets, trials
from halfmask.study.jobs import Place, shared
from halfmask.study.measure import Cost
from halfmask.study.protocol import Study
from halfmask.study.runs import STORE
from halfmask.study.scheme import Scheme, make_scheme

SAMPLE = 3
"""Labeled cases, and as many without labels, that are prepared for timing where nothing is prepared yet."""


@dataclass(frozen=True)
class Forecast:
    """What is known of a study before it runs.

    Attributes:
        scheme: None without data, as then nothing could be prepared or timed.
        costs: by arm.
        together, threads: runs at once, and CPU threads of each.
    """

    study: Study
    trials: Sequence[Trial]
    scheme: Scheme | None = None
    costs: Mapping[str, Cost] | None = None
    together: int = 1
    threads: int = 1


def forecast(study: Study, place: Place | None, crew: Crew, *, spacing: object, device: str) -> Forecast:
    """Look ahead.

    Args:
        place: None if no data is given.
        spacing: mm, see `data.prepare`.

    Raises:
        ValueError: with all that would keep runs from being made.
    """
    if place is None:
        folds = range(study.prepare.folds or FOLDS) if study.folds == "all" else study.folds
        return Forecast(study, trials(study, folds))
    with _prepared(study, place, spacing) as (store, splits):
        scheme = make_scheme(study, place, store.plan, splits, device=device)
        if not scheme.able:
            return Forecast(study, scheme.trials, scheme)
        known = place.out if store.path == place.out / STORE else store.path.parent
        costs = costs_of(scheme, store, crew, device, known / COSTS)
    together, threads = crew.split([need_of(costs[trial.arm.title]) for trial in scheme.able])
    return Forecast(study, scheme.trials, scheme, costs, together, threads)


def told(seen: Forecast) -> list[str]:
    """The forecast in lines for the user."""
    study, every = seen.study, seen.trials
    count = lambda values: len(set(values))
    parts = {
        "arms": count(t.arm.title for t in every),
        "budgets": count(t.budget.title for t in every),
        "folds": count(t.fold for t in every),
        "draws": count(t.draw for t in every) if study.draws else 1,
        "seeds": count(t.seed for t in every),
    }
    crossed = " × ".join(f"{n} {name if n > 1 else name[:-1]}" for name, n in parts.items())
    product = 1
    for n in parts.values():
        product *= n
    lines = [study.name, *([study.question] if study.question else [])]
    lines.append(f"{len(every)} runs: {crossed}" + ("" if product == len(every) else ", not all of them crossed"))
    lines.append("budgets: " + "; ".join(budget.title for budget in budgets(study)))
    lines += _sharing(every)
    lines += _missing(every)
    return lines + (_taking(seen) if seen.costs else _not_timed(seen))


def _sharing(every: Sequence[Trial]) -> list[str]:
    """What is done once for many runs."""
    able = [trial for trial in every if not trial.arm.missing]
    users = Counter(name for trial in able for name in shared([trial]))
    stores = {t.arm.pretraining.label for t in able if t.arm.pretraining.data}
    lines = [f"shared: the data set is prepared once, for {len(able)} runs"]
    lines += [f"shared: the data set that {label!r} pre-trains on is prepared once" for label in sorted(stores)]
    return lines + [f"shared: pre-training {name!r} is done once, for {n} runs" for name, n in users.items()]


def _missing(every: Sequence[Trial]) -> list[str]:
    lacking = Counter((trial.arm.title, trial.arm.missing) for trial in every if trial.arm.missing)
    return [f"missing: {title}: {why}; {n} runs cannot be done" for (title, why), n in lacking.items()]


def _taking(seen: Forecast) -> list[str]:
    assert seen.scheme is not None and seen.costs is not None
    lines, total = [], 0.0
    for title, cost in seen.costs.items():
        own = [trial for trial in seen.scheme.able if trial.arm.title == title]
        seconds = [seen.scheme.seconds(trial, cost)[0] for trial in own]
        total += sum(seconds)
        steps = seen.scheme.runs[own[0].name].recipe.steps
        memory = f"{cost.memory:.1f} GiB" + (f" and {cost.gpu:.1f} GiB of a GPU" if cost.gpu else "")
        lines.append(
            f"{title}: {len(own)} runs of {steps} steps, {cost.step:.3g} s a step, {cost.case:.2g} s to predict a "
            f"case, {memory}: about {duration(sum(seconds) / len(own))} each"
        )
    threads = f"{seen.threads} CPU thread{'s' * (seen.threads > 1)}"
    lines.append(
        f"all: about {duration(total / seen.together)}, {seen.together} at once with {threads} each, from a few timed "
        "steps; preparation and pre-training come on top"
    )
    return lines


def _not_timed(seen: Forecast) -> list[str]:
    if seen.scheme is None:
        return ["time and memory: give --data, so that a few steps can be timed"]
    return ["time and memory: there is no run that this version can do"]


@contextmanager
def _prepared(study: Study, place: Place, spacing: object) -> Iterator[tuple[Store, Splits]]:
    """The study's store and splits; where it is not prepared yet, a few cases in a temporary folder and the splits
    that it will have."""
    if (place.out / STORE / "index.json").is_file():
        store = Store(place.out / STORE)
        yield store, store.splits
        return
    options = study.prepare
    index = read_index(place.data, group=options.group)
    if options.ignore_value is not None:
        index = replace(index, ignore=options.ignore_value)
    splits = draw_splits(
        index, test=0.2 if options.test is None else options.test, folds=options.folds, seed=options.seed or 0,
        stratify=bool(options.stratify),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        store = preparing.prepare(
            _sample(index, splits), Path(folder) / STORE, test=0.0, dims=options.dims, spacing=spacing,  # type: ignore[arg-type]
            memory_gib=options.memory, fields=study.plan,
        )  # fmt: skip
        yield store, splits


def _sample(index: Index, splits: Splits) -> Index:
    """A few cases outside the test part, evenly over the data set."""
    tested = set(splits.test)
    rest = [case for case in index.cases if case.name not in tested]
    labeled = [case for case in rest if case.label is not None]
    others = [case for case in rest if case.label is None]
    evenly = lambda cases: [cases[i * len(cases) // SAMPLE] for i in range(min(SAMPLE, len(cases)))]
    few = [replace(case, split=None) for case in (*evenly(labeled), *evenly(others))]
    return replace(index, cases=tuple(dict.fromkeys(few)))
