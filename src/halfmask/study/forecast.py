"""What a study would do and take, without doing it: its runs, what they share, what is missing, time and memory."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from halfmask.data import prepare as preparing
from halfmask.data.draw import FOLDS, draw_splits
from halfmask.data.index import Case, Index
from halfmask.data.layouts import read_index
from halfmask.data.layouts.patterns import named_patterns
from halfmask.data.split import Splits
from halfmask.data.store import Store
from halfmask.report.settings import duration
from halfmask.study.conduct import COSTS, costs_of
from halfmask.study.crew import Crew
from halfmask.study.grid import Trial, budgets, trials
from halfmask.study.jobs import Place, need_of, shared
from halfmask.study.measure import Cost
from halfmask.study.protocol import Study
from halfmask.study.runs import STORE
from halfmask.study.scheme import Scheme, make_scheme, preparation_jobs

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
        "arm": count(t.arm.title for t in every),
        "budget": count(t.budget.title for t in every),
        "fold": count(t.fold for t in every),
        "draw": count(t.draw for t in every) if study.draws else 1,
        "seed": count(t.seed for t in every),
    }
    crossed = " × ".join(_counted(n, name) for name, n in parts.items())
    partly = "" if math.prod(parts.values()) == len(every) else ", not all of them crossed"
    lines = [study.name, *([study.question] if study.question else []), ""]
    lines.append(f"{_counted(len(every), 'run')}: {crossed}{partly}")
    lines.append("arms: " + "; ".join(dict.fromkeys(trial.arm.title for trial in every)))
    lines.append("budgets: " + "; ".join(budget.title for budget in budgets(study)))
    lines += _sharing(every)
    lines += _missing(every)
    return [*lines, "", *(_taking(seen) if seen.costs else _not_timed(seen))]


def _counted(n: int, name: str) -> str:
    return f"{n} {name}{'s' * (n != 1)}"


def _sharing(every: Sequence[Trial]) -> list[str]:
    """What is done once for many runs."""
    able = [trial for trial in every if not trial.arm.missing]
    lines = [f"shared: the data set is prepared once, for {_counted(len(able), 'run')}"] * bool(able)
    if others := [trial for trial in able if not trial.trains]:
        lines.append(
            f"shared: {_counted(len(others), 'run')} predict{'s' * (len(others) == 1)} from the training of another, "
            "which differs in its predictions alone"
        )
    for label, variant in {t.arm.pretraining.label: t.arm.pretraining for t in able}.items():
        own = [trial for trial in able if trial.arm.pretraining == variant]
        times = len(shared(own))
        if variant.data:
            lines.append(f"shared: the data set that {label!r} pre-trains on is prepared once")
        if times:
            often = "once" if times == 1 else f"{times} times, once a fold"
            lines.append(f"shared: pre-training {label!r} is done {often}, for {_counted(len(own), 'run')}")
    return lines


def _missing(every: Sequence[Trial]) -> list[str]:
    """What this version lacks, and the rows that need it."""
    lacking: dict[str, list[str]] = {}
    for trial in every:
        if trial.arm.missing:
            lacking.setdefault(trial.arm.missing, []).append(trial.arm.title)
    return [
        f"missing: {'; '.join(dict.fromkeys(titles))}: {why}; {_counted(len(titles), 'run')} cannot be done"
        for why, titles in lacking.items()
    ]


def _taking(seen: Forecast) -> list[str]:
    """A table of what each row's runs take, and what all take together."""
    assert seen.scheme is not None and seen.costs is not None
    gpu = any(cost.gpu for cost in seen.costs.values())
    table = [("arm", "runs", "steps", "s a step", "s a case", "memory", *(["of a GPU"] * gpu), "a run takes")]
    total = 0.0
    for title in dict.fromkeys(trial.arm.title for trial in seen.scheme.able):
        cost = seen.costs[title]
        own = [trial for trial in seen.scheme.able if trial.arm.title == title]
        seconds = [seen.scheme.seconds(trial, cost)[0] for trial in own]
        total += sum(seconds)
        memory = [f"{gib:.1f} GiB" for gib in (cost.memory, *([cost.gpu] * gpu))]
        steps, mean = str(seen.scheme.runs[own[0].name].recipe.steps), duration(sum(seconds) / len(own))
        table.append((title, str(len(own)), steps, f"{cost.step:.3g}", f"{cost.case:.2g}", *memory, mean))
    threads = _counted(seen.threads, "CPU thread")
    return [
        *_aligned(table),
        "",
        f"all: about {duration(total / seen.together)}, {seen.together} at once with {threads} each, from a few timed "
        "steps; preparation and pre-training come on top",
    ]


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """Rows of text with the first column to the left and figures to the right."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in table
    ]


def _not_timed(seen: Forecast) -> list[str]:
    if seen.scheme is None:
        return ["time and memory: give --data, so that a few steps can be timed"]
    return ["time and memory: there is no run that this version can do"]


@contextmanager
def _prepared(study: Study, place: Place, spacing: object) -> Iterator[tuple[Store, Splits]]:
    """The study's store and splits; where it is not prepared yet, a few cases in a temporary folder and the splits
    that it will have."""
    if (place.out / STORE / "index.json").is_file():
        if changed := [how for job in preparation_jobs(study, place) if (how := job.differs())]:
            raise ValueError(f"{place.out} holds a store of another study: {'; '.join(changed)}; give another --out")
        store = Store(place.out / STORE)
        yield store, store.splits
        return
    options = study.prepare
    columns = tuple(options.classes.split(",")) if options.classes else ()
    channels = None if options.channels is None else named_patterns(options.channels)
    index = read_index(
        place.data, group=options.group, domain=options.domain, classes=columns, channels=channels, label=options.label
    )
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
    """A few cases outside the test part, evenly over each domain of the data set."""
    tested = set(splits.test)
    rest = [case for case in index.cases if case.name not in tested]
    parts: dict[tuple[bool, str | None], list[Case]] = {}
    for case in rest:
        parts.setdefault((case.labeled, case.domain), []).append(case)
    evenly = lambda cases: [cases[i * len(cases) // SAMPLE] for i in range(min(SAMPLE, len(cases)))]
    few = {case.name for cases in parts.values() for case in evenly(cases)}
    return replace(index, cases=tuple(replace(case, split=None) for case in rest if case.name in few))
