"""A study's rows crossed with its budgets, folds, draws and seeds: the runs."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from halfmask import methods
from halfmask.config import nearest, read_settings
from halfmask.data.plan import Plan
from halfmask.networks import factory
from halfmask.study.protocol import Preparation, Row, Study, Training, parsed

NONE = "none"
"""The pre-training variant that is none."""


@dataclass(frozen=True)
class Network:
    """A network of a study; ``name`` is None for the plan's."""

    label: str = ""
    name: str | None = None
    settings: Row = field(default_factory=dict)


@dataclass(frozen=True)
class Pretraining:
    """What runs start from: ``init`` (weights from elsewhere), or a method that pre-trains.

    Attributes:
        data: whether it has a data set of its own, prepared by ``prepare``; else the study's.
    """

    label: str = NONE
    init: str | None = None
    method: str | None = None
    settings: Row = field(default_factory=dict)
    data: bool = False
    prepare: Preparation = field(default_factory=lambda: Preparation())
    recipe: Training = field(default_factory=lambda: Training())


@dataclass(frozen=True)
class Arm:
    """A row of the table: a method with its settings, a network and what it starts from.

    Attributes:
        missing: which of its parts this version does not have, in words; empty if it can be run.
        labels: the budgets that it is run with; None for all.
    """

    title: str
    method: str
    settings: Row
    network: Network
    pretraining: Pretraining
    recipe: Training
    labels: tuple[str, ...] | None
    missing: str


@dataclass(frozen=True)
class Budget:
    """A column of the table: what is labeled."""

    title: str
    labels: str
    slices: float


@dataclass(frozen=True)
class Trial:
    """One run of a study. ``draw`` is None where each seed has its own."""

    name: str
    arm: Arm
    budget: Budget
    fold: int
    draw: int | None
    seed: int


def arms(study: Study) -> list[Arm]:
    """The rows, in the file's order: by method, then network, then pre-training."""
    return list(_arms(study, []))


def budgets(study: Study) -> list[Budget]:
    """The columns, in the file's order."""
    several = len(study.slices) > 1 or study.slices != [1.0]
    counted = study.labels != ["all"] or not several
    return [
        Budget(", ".join([_of_labels(labels)] * counted + [f"{_percent(slices)} of slices"] * several), labels, slices)
        for labels in study.labels
        for slices in study.slices
    ]


def trials(study: Study, folds: Sequence[int]) -> list[Trial]:
    """Every run. All arms of a draw come before the next draw, so that a study stopped early can be compared."""
    found = []
    draws: Sequence[int | None] = study.draws or [None]
    for fold, draw, seed, budget, arm in itertools.product(folds, draws, study.seeds, budgets(study), arms(study)):
        if arm.labels is None or budget.labels in arm.labels:
            parts = [arm.title, budget.title, f"f{fold}", *([] if draw is None else [f"d{draw}"]), f"s{seed}"]
            found.append(Trial("-".join(map(_slug, parts)), arm, budget, fold, draw, seed))
    return found


def faults_of(study: Study) -> list[str]:
    """What no schema tells: settings that methods and networks do not have, names that lead nowhere."""
    faults: list[str] = []
    rows = list(_arms(study, faults))
    titles = {arm.title for arm in rows}
    if study.baseline is not None and study.baseline not in titles:
        faults.append(f"the baseline {study.baseline!r} is no arm; {nearest(study.baseline, titles)}")
    columns = len(budgets(study))
    for title, figures in (study.reported.rows if study.reported else {}).items():
        if title not in titles:
            faults.append(f"reported: {title!r} is no arm; {nearest(title, titles)}")
        if len(figures) != columns:
            faults.append(f"reported: {title!r} has {len(figures)} figures, there are {columns} budgets")
    faults += [f"plan: {key!r} is no field of a plan; {nearest(key, Plan.model_fields)}"
               for key in study.plan if key not in Plan.model_fields]  # fmt: skip
    faults += [f"{what}: {value!r} is given twice" for what in ("labels", "slices", "folds", "draws", "seeds")
               for value in _twice(getattr(study, what))]  # fmt: skip
    found = trials(study, [0]) if not faults else []
    names = [trial.name for trial in found]
    faults += [f"the arm {arm.title!r} has no run, as none of the budgets is its own"
               for arm in rows if found and all(trial.arm != arm for trial in found)]  # fmt: skip
    faults += [f"two runs would be called {name!r}; give their arms labels that differ in more than signs"
               for name in _twice(names)]  # fmt: skip
    if study.measured_on == "fold" and study.checkpoint == "best":
        faults.append("checkpoint best is chosen by the cases that measured_on fold measures; take last")
    return faults


def _arms(study: Study, faults: list[str]) -> Iterator[Arm]:
    """The rows; what is wrong with them goes to ``faults``."""
    networks = [_network(label, row or {}, faults) for label, row in study.networks.items()] or [(Network(), "")]
    variants = [_pretraining(label, row or {}, faults) for label, row in study.pretraining.items()]
    variants = variants or [(Pretraining(), "")]
    for label, row in study.methods.items():
        own = _Own.of(label, dict(row or {}), study, faults)
        lacking = _check_method(own.method, own.settings, f"methods: {label!r}", faults)
        for (network, no_network), (variant, no_variant) in itertools.product(networks, variants):
            if own.wants("networks", network.label) and own.wants("pretraining", variant.label):
                title = label + (f" + {variant.label}" if variant.label != NONE else "")
                title += f" ({network.label})" if len(networks) > 1 else ""
                missing = "; ".join(filter(None, (lacking, no_network, no_variant)))
                yield Arm(title, own.method, own.settings, network, variant, own.recipe, own.labels, missing)


@dataclass(frozen=True)
class _Own:
    """A row of ``methods``, its settings apart from the keys that are none."""

    method: str
    settings: Row
    recipe: Training
    only: Mapping[str, tuple[str, ...]]

    @property
    def labels(self) -> tuple[str, ...] | None:
        return self.only.get("labels")

    def wants(self, what: str, label: str) -> bool:
        return what not in self.only or label in self.only[what]

    @classmethod
    def of(cls, label: str, row: Row, study: Study, faults: list[str]) -> _Own:
        where = f"methods: {label!r}"
        method = str(row.pop("method", label))
        recipe = _part(Training, row.pop("recipe", {}), f"{where}, recipe", faults)
        known: dict[str, list[str]] = {
            "labels": study.labels, "networks": list(study.networks), "pretraining": list(study.pretraining),
        }  # fmt: skip
        only = {}
        for what, labels in known.items():
            if what in row:
                given = row.pop(what)
                only[what] = tuple(str(g) for g in (given if isinstance(given, list) else [given]))
                if what in study.model_fields_set:
                    faults += [f"{where}: the study has no {what} {g!r}; {nearest(g, labels)}"
                               for g in only[what] if g not in labels]  # fmt: skip
        return cls(method, row, recipe, only)


def _network(label: str, row: Row, faults: list[str]) -> tuple[Network, str]:
    """A network, and why it is missing."""
    settings = dict(row)
    name = str(settings.pop("network", label))
    if name not in factory.names():
        return Network(label, name, settings), f"no network {name!r} ({nearest(name, factory.names())})"
    try:
        factory.network_settings(name, settings)
    except ValueError as e:
        faults += [f"networks: {label!r}: {line}" for line in str(e).splitlines()]
    return Network(label, name, settings), ""


def _pretraining(label: str, row: Row, faults: list[str]) -> tuple[Pretraining, str]:
    """A variant of pre-training, and why it is missing."""
    where, settings = f"pretraining: {label!r}", dict(row)
    if label == NONE:
        if row:
            faults.append(f"{where} is to start from nothing, so it has no keys; got {', '.join(row)}")
        return Pretraining(), ""
    init = settings.pop("init", None)
    if init is not None:
        if settings:
            faults.append(f"{where} takes weights from {init}, so it has no other keys; got {', '.join(settings)}")
        return Pretraining(label, init=str(init)), ""
    data = settings.pop("data", False)
    if not isinstance(data, bool):
        faults.append(f"{where}: data = {data!r} is true (given by --pretraining-data) or false, the study's own")
    variant = Pretraining(
        label,
        method=str(settings.pop("method", label)),
        data=bool(data),
        prepare=_part(Preparation, settings.pop("prepare", {}), f"{where}, prepare", faults),
        recipe=_part(Training, settings.pop("recipe", {}), f"{where}, recipe", faults),
        settings=settings,
    )
    assert variant.method is not None
    return variant, _check_method(variant.method, settings, where, faults)


def _check_method(name: str, settings: Row, where: str, faults: list[str]) -> str:
    """Why the method is missing; if it is not, its settings are checked."""
    if name not in methods.names():
        return f"no method {name!r} ({nearest(name, methods.names())})"
    try:
        read_settings(methods.find(name), settings, of=f"method {name!r}")
    except ValueError as e:
        faults += [f"{where}: {line}" for line in str(e).splitlines()]
    return ""


def _part(kind: Any, content: Any, where: str, faults: list[str]) -> Any:
    if not isinstance(content, Mapping):
        faults.append(f"{where}: expected names and values, got {content!r}")
        return kind()
    made, found, _ = parsed(kind, content)
    faults += [f"{where}: {fault}" for fault in found]
    return made or kind()


def _of_labels(labels: str) -> str:
    if labels == "all":
        return "all labels"
    if labels.isdigit():
        return f"{labels} label{'' if labels == '1' else 's'}"
    return f"{_percent(float(labels[:-1]) / 100 if labels.endswith('%') else float(labels))} of labels"


def _percent(share: float) -> str:
    return f"{100 * share:g} %"


def _twice(values: Any) -> list[Any]:
    listed = values if isinstance(values, list) else []
    return [v for n, v in enumerate(listed) if v in listed[:n]]


def _slug(text: str) -> str:
    """A part of a folder's name: "MuST, T = 0.8" is must-t-0.8."""
    return re.sub(r"[^\w.%]+", "-", text.casefold()).strip("-").replace("%", "percent")
