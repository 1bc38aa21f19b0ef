"""What could be typed to make a run again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from halfmask.methods import names
from halfmask.report.gather import Entry

OPTIONS = ("labels", "slices", "slice_axis", "fold", "seed", "draw", "network", "precision", "init")
DOMAINS = ("source", "target")
OF_LABELS = ("labels", "slices", "slice_axis", "draw")
PREDICTED = {"checkpoint": "last", "overlap": 0.5, "format": None, "channels": None, "domain": None, "test_time": None,
             "test_time_steps": None, "test_time_rate": None}  # fmt: skip
"""Options of `halfmask predict` that take a value, and what they are unless given."""
RECIPE = ("steps", "optimizer", "rate", "momentum", "weight_decay", "schedule", "clip")


def commands(entry: Entry) -> list[str]:
    """The commands from training to figures, with all that was chosen; those whose parts are not known are left out."""
    found = []
    folder = str(entry.folder) if entry.folder is not None else "RUN"
    if entry.run:
        found.append(_typed(*train_words(entry.run, entry.run.get("store", "STORE"), folder)))
    told = entry.prediction
    if told.get("split") or told.get("source"):
        where = ["--split", told["split"]] if told.get("split") else [str(told["source"])]
        given = [key for key, usual in PREDICTED.items() if told.get(key, usual) != usual]
        options = [word for key in given for word in (f"--{key.replace('_', '-')}", told[key])]
        flips = ["--flips"] if told.get("flips") else []
        looked = ["--saliency"] if entry.saliency is not None else []
        found.append(_typed("predict", folder, *where, "--out", entry.masks, *options, *flips, *looked))
    if told.get("truth"):
        found.append(_typed("evaluate", entry.masks, told["truth"], "--out", told["table"]))
    if entry.evaluation is not None:
        note = entry.evaluation
        ignore = [] if note.ignore is None else ["--ignore-value", note.ignore]
        chosen = [word for option, text in note.chosen.items() for word in (f"--{option}", text)]
        found.append(_typed("evaluate", entry.masks, note.labels, "--out", note.table, *ignore, *chosen))
    return found


def train_words(run: Mapping[str, Any], store: str, folder: str) -> list[str]:
    """The words after ``halfmask`` that make a run again, given all that it was (as in run.yaml)."""
    recipe = run.get("recipe") or {}
    alone = recipe.get("labeled") == 0  # it learns from images alone
    clusters = run.get("method") in names("clustering")
    words: list[Any] = ["pretrain" if alone and not clusters else "train", run.get("method"), store, "--out", folder]
    for name in OPTIONS:
        if run.get(name) is not None and not (alone and name in OF_LABELS):
            words += [f"--{name.replace('_', '-')}", run[name]]
    for name in DOMAINS:
        if run.get(name) is not None:
            words += [f"--{name}", ",".join(run[name])]
    for name in RECIPE:
        if recipe.get(name) is not None and (name != "momentum" or recipe.get("optimizer") == "sgd"):
            words += [f"--{name.replace('_', '-')}", recipe[name]]
    unlabeled = recipe.get("unlabeled")
    words += ["--batch", unlabeled if alone else f"{recipe.get('labeled')}+{unlabeled}"]
    if run.get("processes", 1) > 1:
        words += ["--devices", run["processes"]]
    words += setting_words(run.get("settings") or {})
    words += setting_words({f"network.{name}": value for name, value in (run.get("network_settings") or {}).items()})
    return list(map(str, words))


def setting_words(settings: Mapping[str, Any]) -> list[str]:
    """``--set name=value`` for each."""
    return [word for name, value in settings.items() for word in ("--set", f"{name}={_text(value)}")]


def _text(value: Any) -> str:
    """As `config.read_settings` takes it."""
    if isinstance(value, Mapping):
        return ",".join(f"{name}={_text(each)}" for name, each in value.items())
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _typed(*words: Any) -> str:
    return shlex.join(["halfmask", *map(str, words)])
