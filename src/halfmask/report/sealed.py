"""What was measured, by whom it was not seen, and what chose: how far a study's figures can be believed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from halfmask.data.store import Store
from halfmask.report.markup import Markup, join, tag
from halfmask.report.study import Study
from halfmask.report.verdict import count

CHOICE = {
    "last": "The last step of every training counts; no figure chose a checkpoint.",
    "best": "Of every training the checkpoint with the best {score} on the validation cases of its fold counts; the "
    "cases measured here are none of these.",
}
RECIPE = {
    False: "One recipe (optimizer, rate, batch, steps) holds for all methods.",
    True: "What the study leaves open of the recipe (optimizer, rate, batch, steps) each method fills with its own, as "
    "its paper does; so arms may differ in more than the method.",
}


def sealed_section(study: Study) -> Markup:
    """What measured and what chose, and a look at whether any run was trained on a case that it was measured on."""
    described: dict[str, Any] = study.told.get("study") or {}
    chosen = CHOICE.get(str(study.told["checkpoint"]), f"The checkpoint: {study.told['checkpoint']}.")
    lines = [
        _measured(study),
        chosen.format(score="AUC" if study.classifies else "Dice"),
        "The methods' settings are those of the study file below; the study searched for none.",
        RECIPE[bool(described.get("as_the_papers"))],
    ]
    leaks, checked = seen_labels(study)
    unit = _unit(study)
    if checked and not leaks:
        lines.append(f"Looked up in {count(checked, 'run')}: none had a label of a {unit} that measured it.")
    told = [
        f"{run} was trained on the label of {', '.join(cases)}, and measured on the same {unit}: its figures are "
        "not those of a sealed test."
        for run, cases in leaks.items()
    ]
    return join([tag("ul", [tag("li", line) for line in lines]), [tag("p", said, class_="note") for said in told]])


def seen_labels(study: Study) -> tuple[dict[str, list[str]], int]:
    """By run the labeled cases of training whose patient was measured; and how many runs could be looked up."""
    leaks, checked, group = {}, 0, _groups(study)
    for run, cases in measured_cases(study).items():
        labeled = result_of(study, run).get("labeled")
        if isinstance(labeled, list) and cases:
            checked += 1
            measured = {group.get(case, case) for case in cases}
            if both := sorted(str(case) for case in labeled if group.get(case, case) in measured):
                leaks[run] = both
    return leaks, checked


def measured_cases(study: Study) -> dict[str, list[str]]:
    """The cases of each run in the table; a classifier's are in its prediction.json, as the table has their sum."""
    runs = {str(run): list(map(str, rows["case"])) for run, rows in study.every.groupby("run", sort=False)}
    if not study.classifies:
        return runs
    told = {run: read_result(study.folder / "runs" / run / "classes" / "prediction.json") for run in runs}
    return {run: list(map(str, found.get("cases") or ())) for run, found in told.items()}


def _unit(study: Study) -> str:
    """What is counted as one among the cases: patients, unless every case is a group of its own."""
    if not study.classifies:
        return study.unit
    return "patient" if any(case != group for case, group in _groups(study).items()) else "case"


def _groups(study: Study) -> dict[str, str]:
    """The patient of each case, as far as the study's own store and table know it."""
    try:
        stored = Store(study.folder / "store").splits.groups
    except (OSError, ValueError):
        stored = {}
    return {**stored, **dict(zip(study.every["case"], study.every["group"], strict=True))}


def result_of(study: Study, run: str) -> dict[str, Any]:
    """The result.json of a run's training; nothing if it cannot be read."""
    return read_result(study.trained(run) / "result.json")


def read_result(file: Path) -> dict[str, Any]:
    """A result.json; nothing if it cannot be read."""
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _measured(study: Study) -> str:
    group, measured = _groups(study), {case for each in measured_cases(study).values() for case in each}
    cases, groups = len(measured), len({group.get(case, case) for case in measured})
    how_many = count(cases, "case") + (f" of {count(groups, 'patient')}" if _unit(study) == "patient" else "")
    if study.told["measured_on"] == "fold":
        some = f"The {how_many} were" if cases else "Every labeled case is"
        return (
            f"{some} measured in cross-validation, each by runs that never saw its label: those of the fold that held "
            "it out. No run was chosen by them."
        )
    some = f"the {how_many} of the test part" if cases else "the cases of the test part"
    return (
        f"Measured on {some}, sealed: no training, validation or choice of a checkpoint sees them. They are opened "
        "once, at evaluation, when a run has ended."
    )
