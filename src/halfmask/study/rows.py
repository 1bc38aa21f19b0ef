"""The rows of `methods`, `networks` and `pretraining` in a study file, each checked against what it names."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from halfmask import methods
from halfmask.config import nearest, read_settings
from halfmask.learning.method import Pretrainer
from halfmask.networks import factory
from halfmask.study.protocol import Domains, Labels, Prediction, Preparation, Row, Study, Training
from halfmask.study.schema import EXAMPLES, MAPPING, parsed
from halfmask.training.pretrained import HUB

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
        on: the label of the study's network that it is done with for all, as cass makes a network of either kind; None
            for each arm's own. ``network`` is that one.
    """

    label: str = NONE
    init: str | None = None
    method: str | None = None
    settings: Row = field(default_factory=dict)
    data: bool = False
    prepare: Preparation = field(default_factory=lambda: Preparation())
    recipe: Training = field(default_factory=lambda: Training())
    on: str | None = None
    network: Network | None = None


@dataclass(frozen=True)
class Own:
    """A row of ``methods``, its settings apart from the keys that are none; ``only`` is what it is restricted to."""

    method: str
    settings: Row
    recipe: Training
    only: Mapping[str, tuple[str, ...]]
    source: tuple[str, ...] | None = None
    target: tuple[str, ...] | None = None
    predict: Prediction = field(default_factory=lambda: Prediction())

    @property
    def labels(self) -> tuple[str, ...] | None:
        return self.only.get("labels")

    def wants(self, what: str, label: str) -> bool:
        return what not in self.only or label in self.only[what]

    @classmethod
    def of(
        cls, label: str, row: Row, study: Study, faults: list[str] | None = None, dropped: Collection[str] = ()
    ) -> Own:
        """Read a row; see `grid.arms` for ``faults`` and ``dropped``."""
        faults = [] if faults is None else faults
        where = f"methods: {label!r}"
        method = _name(row.pop("method", label), f"{where}: method", faults)
        recipe = _part(Training, row.pop("recipe", {}), f"{where}, recipe", faults)
        predict = _part(Prediction, row.pop("predict", {}), f"{where}, predict", faults)
        if predict.test_time != "entropy" and (predict.test_time_steps or predict.test_time_rate):
            faults.append(
                f"{where}, predict: test_time_steps and test_time_rate are of test_time: entropy; give it too"
            )
        sides = {side: _domains(row, side, getattr(study, side), where, faults) for side in ("source", "target")}
        known = {
            "labels": study.labels, "networks": list(study.networks), "pretraining": list(study.pretraining) or [NONE],
        }  # fmt: skip
        only = {}
        for what in [what for what in known if what in row]:
            only[what] = _choice(row.pop(what), what, where, faults)
            if what not in dropped:
                faults += [f"{where}: the study has no {what} {g!r}; {nearest(g, known[what])}"
                           for g in only[what] if g not in known[what]]  # fmt: skip
        return cls(method, row, recipe, only, **sides, predict=predict)


def network_of(label: str, row: Row, faults: list[str]) -> tuple[Network, str]:
    """A network, and why it is missing."""
    settings = dict(row)
    name = _name(settings.pop("network", label), f"networks: {label!r}: network", faults)
    if name not in factory.encoder_names():
        return Network(label, name, settings), _lacking("network", name, factory.encoder_names())
    try:
        factory.network_settings(name, settings)
    except ValueError as e:
        faults += [f"networks: {label!r}: {line}" for line in str(e).splitlines()]
    return Network(label, name, settings), ""


def pretraining_of(label: str, row: Row, faults: list[str]) -> tuple[Pretraining, str]:
    """A variant of pre-training, and why it is missing."""
    where, settings = f"pretraining: {label!r}", dict(row)
    if label == NONE:
        if row:
            faults.append(f"{where} is to start from nothing, so it has no keys; got {', '.join(row)}")
        return Pretraining(), ""
    if "init" in settings:
        given = settings.pop("init")
        init = _name(given, f"{where}: init", faults)
        if settings:
            faults.append(f"{where} takes weights from {init}, so it has no other keys; got {', '.join(settings)}")
        if not isinstance(given, str):
            return Pretraining(label), ""
        return Pretraining(label, init=init), _no_weights(init)
    data = settings.pop("data", False)
    if not isinstance(data, bool):
        faults.append(f"{where}: data = {data!r} is true (given by --pretraining-data) or false, the study's own")
    if "prepare" in settings and not data:
        faults.append(f"{where}: prepare is of a data set of its own; write data: true too, or leave it out")
    variant = Pretraining(
        label,
        method=_name(settings.pop("method", label), f"{where}: method", faults),
        data=bool(data),
        prepare=_part(Preparation, settings.pop("prepare", {}), f"{where}, prepare", faults),
        recipe=_part(Training, settings.pop("recipe", {}), f"{where}, recipe", faults),
        on=_name(settings.pop("on"), f"{where}: on", faults) if "on" in settings else None,
        settings=settings,
    )
    assert variant.method is not None
    if "+" in (batch := variant.recipe.batch or ""):
        faults.append(f"{where}: batch = {batch!r} should be one count, as pre-training has no labeled images")
    missing = check_method(variant.method, settings, where, faults)
    if not missing and not issubclass(methods.find(variant.method), Pretrainer):
        faults.append(f"{where}: the method {variant.method!r} segments; it pre-trains nothing")
    return variant, missing


def _no_weights(init: str) -> str:
    """Why weights from elsewhere are missing: no such name in the hub, or no such file here."""
    known = [f"hub:{name}" for name in HUB]
    if init in known or (not init.startswith("hub:") and Path(init).exists()):
        return ""
    return _lacking("weights", init, known) if init.startswith("hub:") else f"no weights {init!r}: no such file or run"


def check_method(name: str, settings: Row, where: str, faults: list[str]) -> str:
    """Why the method is missing; if it is not, its settings are checked."""
    if name not in methods.names():
        return _lacking("method", name, methods.names())
    try:
        read_settings(methods.find(name), settings, of=f"method {name!r}")
    except ValueError as e:
        faults += [f"{where}: {line}" for line in str(e).splitlines()]
    return ""


def _lacking(what: str, name: str, known: Collection[str]) -> str:
    """ "no method 'mean_techer' (did you mean 'mean_teacher'?)"; to tell all that are known would fill pages."""
    near = nearest(name, known)
    return f"no {what} {name!r}" + (f" ({near})" if near.startswith("did you mean") else "")


def _name(given: Any, where: str, faults: list[str]) -> str:
    """A name, of a method or a network or of weights."""
    if given is None or isinstance(given, bool | dict | list):
        faults.append(f"{where} = {given!r} should be a name")
    return str(given)


def _choice(given: Any, what: str, where: str, faults: list[str]) -> tuple[str, ...]:
    """Those of the study's labels, networks or variants that a row is restricted to."""
    if not isinstance(given, list) or not given:
        faults.append(f"{where}: {what} = {given!r} should be a list of some of the study's {what}")
        return ()
    if what != "labels":
        return tuple(map(str, given))
    made, found, _ = parsed(_Budgets, {"labels": given})
    faults += [f"{where}: {fault}" for fault in found]
    return tuple(made.labels) if made else ()


def _domains(row: Row, side: str, usual: list[str] | None, where: str, faults: list[str]) -> tuple[str, ...] | None:
    """The row's own, which it may give up by a null, or the study's."""
    if side not in row:
        return None if usual is None else tuple(usual)
    if (given := row.pop(side)) is None:
        return None
    made, found, _ = parsed(_Sides, {side: given})
    faults += [f"{where}: {fault}" for fault in found]
    return tuple(getattr(made, side)) if made else None


class _Sides(BaseModel):
    source: Domains | None = None
    target: Domains | None = None


class _Budgets(BaseModel):
    labels: list[Labels]


def _part(kind: Any, content: Any, where: str, faults: list[str]) -> Any:
    if not isinstance(content, Mapping):
        example = EXAMPLES[{Preparation: "prepare", Prediction: "predict"}.get(kind, "recipe")]
        faults.append(f"{where} = {content!r} {MAPPING} {example}")
        return kind()
    made, found, _ = parsed(kind, content)
    faults += [f"{where}: {fault}" for fault in found]
    return made or kind()


def slug(text: str) -> str:
    """A part of a folder's name: "MuST, T = 0.8" is must-t-0.8."""
    return re.sub(r"[^\w.%]+", "-", text.casefold()).strip("-").replace("%", "percent")
