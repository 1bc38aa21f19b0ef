"""A study's rows crossed with its budgets, folds, draws and seeds: the runs."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from halfmask import methods
from halfmask.config import nearest
from halfmask.learning.method import Clusterer, Pretrainer
from halfmask.study.protocol import Prediction, Row, Study, Training
from halfmask.study.rows import NONE, Network, Own, Pretraining, check_method, network_of, pretraining_of, slug


@dataclass(frozen=True)
class Arm:
    """A row of the table: a method with its settings, a network and what it starts from.

    Attributes:
        missing: which of its parts this version does not have, in words; empty if it can be run.
        labels: the budgets that it is run with; None for all.
        source, target: the domains whose labels are read and whose images are adapted to; None for all,
            as for one that reads no labels.
        predict: how it predicts.
        unlabeled: it reads no labels, so it is run once a seed and fold, with the budget `NO_LABELS`.
    """

    title: str
    method: str
    settings: Row
    network: Network
    pretraining: Pretraining
    recipe: Training
    labels: tuple[str, ...] | None
    missing: str
    unlabeled: bool = False
    source: tuple[str, ...] | None = None
    target: tuple[str, ...] | None = None
    predict: Prediction = field(default_factory=Prediction)


@dataclass(frozen=True)
class Budget:
    """A column of the table: what is labeled."""

    title: str
    labels: str
    slices: float


NO_LABELS = Budget("no labels", "none", 1.0)


@dataclass(frozen=True)
class Trial:
    """One run of a study.

    Attributes:
        draw: None where each seed has its own.
        trained: the run whose training it takes, as it differs from that in how it predicts alone; else itself.
    """

    name: str
    arm: Arm
    budget: Budget
    fold: int
    draw: int | None
    seed: int
    trained: str = ""

    @property
    def trains(self) -> bool:
        return self.trained == self.name


def arms(study: Study, *, faults: list[str] | None = None, dropped: Collection[str] = ()) -> list[Arm]:
    """The rows, in the file's order: by method, then network, then pre-training.

    Args:
        faults: takes what is wrong with them, in words; dropped: keys of which not all is known.
    """
    wrong = [] if faults is None else faults
    networks = [network_of(label, row or {}, wrong) for label, row in study.networks.items()] or [(Network(), "")]
    variants = [pretraining_of(label, row or {}, wrong) for label, row in study.pretraining.items()]
    variants = [(_placed(v, [n for n, _ in networks], wrong), why) for v, why in variants] or [(Pretraining(), "")]
    found = []
    for label, row in study.methods.items():
        own = Own.of(label, dict(row or {}), study, wrong, dropped)
        lacking = check_method(own.method, own.settings, f"methods: {label!r}", wrong)
        if not lacking and issubclass(methods.find(own.method), Pretrainer):
            wrong.append(f"methods: {label!r}: the method {own.method!r} pre-trains; write it under pretraining")
        unlabeled = not lacking and issubclass(methods.find(own.method), Clusterer)
        if unlabeled and own.labels is not None:
            wrong.append(f"methods: {label!r}: the method {own.method!r} reads no labels; leave out labels")
        if unlabeled and any((row or {}).get(side) is not None for side in ("source", "target")):
            wrong.append(
                f"methods: {label!r}: the method {own.method!r} learns from the images of all domains; leave out "
                "source and target"
            )
        for (network, no_network), (variant, no_variant) in itertools.product(networks, variants):
            if own.wants("networks", network.label) and own.wants("pretraining", variant.label):
                title = label + (f" + {variant.label}" if variant.label != NONE else "")
                title += f" ({network.label})" if len(networks) > 1 else ""
                missing = "; ".join(filter(None, (lacking, no_network, no_variant)))
                found.append(
                    Arm(
                        title,
                        own.method,
                        own.settings,
                        network,
                        variant,
                        own.recipe,
                        own.labels,
                        missing,
                        unlabeled,
                        None if unlabeled else own.source,
                        None if unlabeled else own.target,
                        own.predict,
                    )
                )
    return found


def _placed(variant: Pretraining, networks: Sequence[Network], faults: list[str]) -> Pretraining:
    """The variant with the network that it is done with for all arms, if it names one."""
    if variant.on is None:
        return variant
    known = {network.label: network for network in networks}
    if variant.on not in known:
        faults.append(f"pretraining: {variant.label!r}: on: no network {variant.on!r}; {nearest(variant.on, known)}")
    return replace(variant, network=known.get(variant.on))


def budgets(study: Study) -> list[Budget]:
    """The columns: first that of no labels, if some row reads none; then those of the file, in its order."""
    several = len(study.slices) > 1 or study.slices != [1.0]
    counted = study.labels != ["all"] or not several
    rows = arms(study)
    none = [NO_LABELS] if any(arm.unlabeled for arm in rows) else []
    if rows and all(arm.unlabeled for arm in rows):
        return none
    return none + [
        Budget(", ".join([_of_labels(labels)] * counted + [f"{_percent(slices)} of slices"] * several), labels, slices)
        for labels in study.labels
        for slices in study.slices
    ]


def trials(study: Study, folds: Sequence[int]) -> list[Trial]:
    """Every run. All arms of a draw come before the next draw, so that a study stopped early can be compared."""
    found: list[Trial] = []
    draws: Sequence[int | None] = study.draws or [None]
    first: dict[str, str] = {}
    for fold, draw, seed, budget, arm in itertools.product(folds, draws, study.seeds, budgets(study), arms(study)):
        if arm.unlabeled:
            wanted = budget == NO_LABELS and draw == draws[0]
        else:
            wanted = budget != NO_LABELS and (arm.labels is None or budget.labels in arm.labels)
        if wanted:
            parts = [arm.title, budget.title, f"f{fold}", *([] if draw is None else [f"d{draw}"]), f"s{seed}"]
            name = "-".join(map(slug, parts))
            alike = repr((replace(arm, title="", labels=None, predict=Prediction()), budget, fold, draw, seed))
            found.append(Trial(name, arm, budget, fold, draw, seed, trained=first.setdefault(alike, name)))
    return found


def _of_labels(labels: str) -> str:
    if labels == "all":
        return "all labels"
    if labels.endswith("%"):
        return f"{_percent(float(labels[:-1]) / 100)} of labels"
    return f"{labels} label{'' if labels == '1' else 's'}"


def _percent(share: float) -> str:
    return f"{100 * share:g} %"
