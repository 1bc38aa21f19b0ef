"""A study as jobs: data sets are prepared, then what runs start from is pre-trained, then come the runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from halfmask.data.store import Store
from halfmask.report.commands import setting_words, train_words
from halfmask.study.grid import Trial
from halfmask.study.job import Job, Need
from halfmask.study.measure import Cost
from halfmask.study.protocol import Prediction, Preparation, Study, Training
from halfmask.study.rows import Pretraining, slug
from halfmask.study.runs import PRETRAINED, RUNS, STORE, pretrained_name
from halfmask.training.run import Run


@dataclass(frozen=True)
class Place:
    """Where a study lives: its folder, its data set, and that of pre-training if it has one of its own."""

    out: Path
    data: Path
    pretraining_data: Path | None = None


def preparations(study: Study, place: Place, variants: Sequence[Pretraining]) -> list[Job]:
    """The study's data set, and each that some variant pre-trains on, of the same patch if the study names one."""
    patch = {key: value for key, value in study.plan.items() if key == "patch"}
    found = [_prepare(STORE, place.data, study.prepare, study.plan, place)]
    for variant in variants:
        if variant.data and place.pretraining_data is not None:
            found.append(_prepare(_own_store(variant), place.pretraining_data, variant.prepare, patch, place))
    return found


def pretrainings(users: Mapping[str, Trial], study: Study, place: Place) -> list[Job]:
    """What runs start from, each once however many do.

    Args:
        users: by the folder's name, one of the trials that start from it: of its network, and without its fold.
    """
    found = []
    for name, trial in users.items():
        variant = trial.arm.pretraining
        network = variant.network or trial.arm.network
        assert variant.method is not None
        store = _own_store(variant) if variant.data else STORE
        words = ["pretrain", variant.method, store, "--out", f"{PRETRAINED}/{name}", "--resume"]
        words += [] if variant.data else ["--fold", str(trial.fold)]
        words += [] if network.name is None else ["--network", network.name]
        words += _options(variant.recipe) + setting_words(variant.settings)
        words += setting_words({f"network.{key}": value for key, value in network.settings.items()})
        words += ["--precision", study.precision]
        found.append(Job(f"pretrain {name}", place.out, place.out / PRETRAINED / name, (tuple(words),)))
    return found


def run_job(study: Study, trial: Trial, run: Run, place: Place, cost: Cost, *, threads: int) -> Job:
    """Train, predict what is to be measured, and measure it; one that takes another's training does the latter two."""
    folder, trained = f"{RUNS}/{trial.name}", f"{RUNS}/{trial.trained}"
    train = train_words(asdict(run), STORE, trained)
    train += ["--validations", str(study.validations), "--resume"]
    predict = ["predict", trained, "--split", study.measured_on, "--store", STORE, "--checkpoint", study.checkpoint]
    predict += ["--saliency"] if study.classifies else []
    predict += _options(trial.arm.predict)
    masks = f"{folder}/{'classes' if study.classifies else 'masks'}"
    evaluate = ["evaluate", masks, _named(place.data, place.out), "--workers", "1"]
    if not study.classifies:  # the same images and labels as were prepared
        evaluate += _options(study.prepare, only=("channels", "label"))
    predict += [] if trial.trains else ["--out", masks]
    arm = trial.arm
    needs = () if arm.pretraining.method is None else (f"pretrain {pretrained_name(arm, trial.fold)}",)
    needs = needs if trial.trains else (trial.trained,)
    commands = tuple(tuple(words) for words in ([train] * trial.trains + [predict, evaluate]))
    return Job(trial.name, place.out, place.out / folder, commands, needs, need_of(cost, threads))


def need_of(cost: Cost, threads: int = 1) -> Need:
    """What a run of such a cost takes of the computer."""
    return Need(threads, cost.memory, cost.gpu)


def shared(trials: Sequence[Trial]) -> dict[str, Trial]:
    """The pre-trainings that some trials start from, by the folder's name, each with the first of them."""
    found: dict[str, Trial] = {}
    for trial in trials:
        if trial.arm.pretraining.method is not None:
            found.setdefault(pretrained_name(trial.arm, trial.fold), trial)
    return found


def _prepare(store: str, data: Path, options: Preparation, plan: Mapping[str, Any], place: Place) -> Job:
    words = ["prepare", _named(data, place.out), "--out", store]
    words += _options(options)
    words += [word for name, value in plan.items() for word in ("--set", f"{name}={_flow(value)}")]
    return Job(f"prepare {store}", place.out, place.out / "prepared" / store, (tuple(words),))


def store_key(store: Store, *, domains: bool) -> str:
    """A digest of what a run is made from: the store's plan, splits and cases.

    Args:
        domains: whether some run knows of them; older versions did not, and their runs are to stay what they are.
    """
    plan = store.plan.model_dump(mode="json", exclude_defaults=True, exclude={"why", "memory_gib"})
    splits = {name: value for name, value in asdict(store.splits).items() if name != "drawn"}
    splits = {name: value for name, value in splits.items() if domains or name != "domains"}
    told = json.dumps([plan, splits, store.stored], sort_keys=True)
    return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()


def _named(data: Path, out: Path) -> str:
    """From the study's folder if it lies within, so that both can be moved."""
    data, out = data.resolve(), out.resolve()
    return str(data.relative_to(out) if data.is_relative_to(out) else data)


def _own_store(variant: Pretraining) -> str:
    return f"{STORE}-{slug(variant.label)}"


def _options(part: Training | Prediction | Preparation, *, only: Collection[str] | None = None) -> list[str]:
    """A part of a study as options of its verb, all or some; a truth stands without a value."""
    words: list[str] = []
    for name, value in part.model_dump(exclude_none=True, include=None if only is None else set(only)).items():
        flag = f"--{name.replace('_', '-')}"
        words += [flag] if value is True else [] if value is False else [flag, str(value)]
    return words


def _flow(value: Any) -> str:
    """As YAML has it on one line."""
    return yaml.safe_dump(value, default_flow_style=True, width=10**9).removesuffix("\n...\n").strip()
