"""What could be typed to make a run again."""

from __future__ import annotations

import shlex
from typing import Any

from halfmask.report.gather import Entry

OPTIONS = ("labels", "slices", "slice_axis", "fold", "seed", "network", "precision", "init")
RECIPE = ("steps", "optimizer", "rate", "momentum", "weight_decay", "schedule", "clip")


def commands(entry: Entry) -> list[str]:
    """The commands from training to figures, with all that was chosen; those whose parts are not known are left out."""
    found = []
    folder = str(entry.folder) if entry.folder is not None else "RUN"
    if entry.run:
        found.append(_train(entry.run, folder))
    told = entry.prediction
    if told.get("split") == "test" or told.get("source"):
        where = ["--split", "test"] if told.get("split") == "test" else [str(told["source"])]
        kept = {"checkpoint": "last", "overlap": 0.5}
        options = [w for key, usual in kept.items() if told.get(key, usual) != usual for w in (f"--{key}", told[key])]
        flips = ["--flips"] if told.get("flips") else []
        found.append(_typed("predict", folder, *where, "--out", entry.masks, *options, *flips))
    if entry.evaluation is not None:
        note = entry.evaluation
        ignore = [] if note.ignore is None else ["--ignore-value", note.ignore]
        found.append(_typed("evaluate", entry.masks, note.labels, "--out", note.table, *ignore))
    return found


def _train(run: dict[str, Any], folder: str) -> str:
    recipe = run.get("recipe") or {}
    words: list[Any] = ["train", run.get("method"), run.get("store", "STORE"), "--out", folder]
    for name in OPTIONS:
        if run.get(name) is not None:
            words += [f"--{name.replace('_', '-')}", run[name]]
    for name in RECIPE:
        if recipe.get(name) is not None and (name != "momentum" or recipe.get("optimizer") == "sgd"):
            words += [f"--{name.replace('_', '-')}", recipe[name]]
    words += ["--batch", f"{recipe.get('labeled')}+{recipe.get('unlabeled')}"]
    if run.get("processes", 1) > 1:
        words += ["--devices", run["processes"]]
    settings = {**(run.get("settings") or {})}
    settings |= {f"network.{name}": value for name, value in (run.get("network_settings") or {}).items()}
    for name, value in settings.items():
        words += ["--set", f"{name}={_value(value)}"]
    return _typed(*words)


def _value(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _typed(*words: Any) -> str:
    return shlex.join(["halfmask", *map(str, words)])
