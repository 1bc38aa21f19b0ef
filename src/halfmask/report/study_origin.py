"""Runs that have no figures and why; the study's settings, and what it was made with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import yaml

from halfmask.report.document import folded, scrolled
from halfmask.report.markup import Markup, breakable, join, tag
from halfmask.report.sealed import read_result, result_of
from halfmask.report.settings import MADE, TRAINED, duration
from halfmask.report.study import DRAWN, Study, why_not
from halfmask.report.verdict import count

PRETRAINED = "pretrained"
"""The folder of a study's pre-trainings."""


def unfinished_section(study: Study) -> Markup | None:
    """The runs without figures, those alike in arm and reason on one line."""
    alike: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for run in study.runs:
        if why := why_not(run):
            alike.setdefault((run["arm"], why), []).append(run)
    if not alike:
        return None
    head = tag("tr", [tag("th", name, scope="col") for name in ("Method", "Budgets", "Runs", "Why")])
    rows = [
        tag("tr", tag("th", breakable(arm), scope="row"), [tag("td", cell) for cell in (
            "; ".join(b for b in study.budgets if any(run["budget"] == b for run in runs)), len(runs), why)])
        for (arm, why), runs in alike.items()
    ]  # fmt: skip
    names = [run["name"] for runs in alike.values() for run in runs]
    table = tag("table", tag("thead", head), tag("tbody", rows), class_="words")
    return join([scrolled("Runs without figures", table), folded("Their names", tag("p", ", ".join(names)))])


def settings_section(study: Study) -> Markup:
    """The study file, as it was read."""
    text = yaml.safe_dump(study.told["study"], sort_keys=False, allow_unicode=True, width=100)
    return tag("pre", tag("code", text), tabindex=0, role="region", aria_label="The study file")


def made_section(study: Study) -> Markup:
    """Hardware, versions, what was drawn, git state and times."""
    results = {run["name"]: result_of(study, run["name"]) for run in study.runs if run["state"] == "done"}
    return join([
        _pairs("What was drawn and made", {**_drawn(study), **_made(results)}),
        tag("h3", "Times"), _times(study),
    ])  # fmt: skip


def _drawn(study: Study) -> dict[str, str]:
    """Folds, draws, seeds, git state."""
    names = {"fold": "folds", "draw": "draws of labels", "seed": "seeds"}
    found = {names[key]: ", ".join(map(str, sorted({run[key] for run in study.runs if run[key] is not None})))
             for key in DRAWN}  # fmt: skip
    states = Counter(str(run["state"]) for run in study.runs)
    found["runs"] = ", ".join(f"{n} {state}" for state, n in states.items())
    git = study.told.get("git")
    changed = " with changes that are not committed" if git and git.get("changed") else ""
    found["git"] = f"{git['commit']}{changed}" if git else "no repository"
    return found


def _made(results: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Versions and hardware; where runs differ, each value with the number of its runs."""
    found: dict[str, Counter[str]] = {}
    for result in results.values():
        made = result.get("made_with") or {}
        told = {shown: made.get(key) for key, shown in MADE.items()}
        told |= {shown: result.get(key) for key, shown in TRAINED.items()}
        for shown, value in told.items():
            if value is not None:
                found.setdefault(shown, Counter())[str(value)] += 1
    several = lambda values: ", ".join(f"{value} ({count(n, 'run')})" for value, n in values.most_common())
    memory = TRAINED["peak_memory_gib"]
    said = {name: next(iter(v)) if len(v) == 1 else several(v) for name, v in found.items() if name != memory}
    return said | ({memory: f"{max(map(float, found[memory])):g}"} if memory in found else {})


def _times(study: Study) -> Markup:
    """What each arm took, of the runs that are done."""
    done = {arm: [run["seconds"] for run in study.runs
                  if run["arm"] == arm and run["state"] == "done" and run.get("seconds") is not None]
            for arm in study.arms}  # fmt: skip
    all_of_it = [seconds for found in done.values() for seconds in found]
    if not all_of_it:
        return tag("p", "No run has ended yet.")
    head = tag("tr", [tag("th", name, scope="col") for name in ("Method", "Runs", "Mean of a run", "Together")])
    rows = [
        tag("tr", tag("th", breakable(arm), scope="row"), [tag("td", cell) for cell in (
            len(found), duration(sum(found) / len(found)), duration(sum(found)))])
        for arm, found in done.items() if found
    ]  # fmt: skip
    total = tag("p", f"{count(len(all_of_it), 'run')} took {duration(sum(all_of_it))} together.")
    return join([total, scrolled("Times", tag("table", tag("thead", head), tag("tbody", rows))), _pretrained(study)])


def _pretrained(study: Study) -> Markup | None:
    """What each pre-training took, once however many runs began from it."""
    told = {file.parent.name: read_result(file) for file in sorted(study.folder.glob(f"{PRETRAINED}/*/result.json"))}
    told = {name: result for name, result in told.items() if "seconds" in result}
    if not told:
        return None
    head = tag("tr", [tag("th", name, scope="col") for name in ("Pre-training", "Steps", "Time")])
    rows = [
        tag("tr", tag("th", breakable(name), scope="row"), tag("td", result.get("steps", "–")),
            tag("td", duration(result["seconds"])))
        for name, result in told.items()
    ]  # fmt: skip
    return scrolled("Times of pre-training", tag("table", tag("thead", head), tag("tbody", rows)))


def _pairs(caption: str, told: Mapping[str, str]) -> Markup:
    rows = [tag("tr", tag("th", name, scope="row"), tag("td", value)) for name, value in told.items() if value]
    return scrolled(caption, tag("table", tag("tbody", rows), class_="words"))
