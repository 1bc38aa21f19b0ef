"""What is wrong with a study that fits its schema: names that lead nowhere, runs that could not be told apart."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from halfmask.config import nearest
from halfmask.data.plan import Plan
from halfmask.evaluation.classification import OVERALL
from halfmask.evaluation.metrics import DISTANCES, METRICS, OVERLAP
from halfmask.study.grid import Arm, arms, budgets, trials
from halfmask.study.protocol import ROWS, Study
from halfmask.study.rows import slug

LONGEST = 200
"""Bytes of a run's name; file systems take 255 for a name, and files beside it need some."""


def faults_of(study: Study, dropped: Collection[str] = ()) -> list[str]:
    """What no schema tells: settings that methods and networks do not have, names that lead nowhere.

    Args:
        dropped: keys at fault, which the study is without, or without some of their rows.
    """
    faults: list[str] = []
    rows = arms(study, faults=faults, dropped=dropped)
    titles = {arm.title for arm in rows}
    if not ROWS & set(dropped):
        faults += _strange_titles(study, titles)
        faults += _strange_ceiling(study, rows)
    if not {"labels", "slices"} & set(dropped):
        faults += _strange_figures(study, len(budgets(study)))
    faults += _strange_plan(study.plan)
    faults += [f"{what}: {value!r} is given twice" for what in ("labels", "slices", "folds", "draws", "seeds")
               for value in _twice(getattr(study, what))]  # fmt: skip
    if study.classifies and (study.slices != [1.0] or study.slice_axis):
        faults.append("whole images have a label each, not a slice; leave out slices and slice_axis")
    if study.measured_on == "fold" and study.checkpoint == "best":
        faults.append("checkpoint best is chosen by the cases that measured_on fold measures; take last")
    return faults if faults or dropped else _strange_runs(study, rows)


def _strange_titles(study: Study, titles: Collection[str]) -> Iterator[str]:
    if study.baseline is not None and study.baseline not in titles:
        yield f"the baseline {study.baseline!r} is no arm; {nearest(study.baseline, titles)}"
    if study.ceiling is not None and study.ceiling not in titles:
        yield f"the ceiling {study.ceiling!r} is no arm; {nearest(study.ceiling, titles)}"
    for title in study.reported.rows if study.reported else {}:
        if title not in titles:
            yield f"reported: {title!r} is no arm; {nearest(title, titles)}"


def _strange_ceiling(study: Study, rows: Sequence[Arm]) -> Iterator[str]:
    """A ceiling without the target's labels; of domains only those are known here that the study names."""
    arm = next((arm for arm in rows if arm.title == study.ceiling), None)
    if arm is None or (study.source is None and study.target is None):
        return
    if arm.source is None:
        reads = study.target is None or any(name not in (arm.target or ()) for name in study.target)
    else:
        reads = any(name in study.target if study.target else name not in (study.source or ()) for name in arm.source)
    if not reads:
        told = ", ".join(study.target) if study.target else "NAME"
        yield f"the ceiling {arm.title!r} reads no label of the target; give its row a source of its own: [{told}]"


def _strange_figures(study: Study, columns: int) -> Iterator[str]:
    if study.reported is None:
        return
    metric = study.reported.metric
    known = {*OVERALL} if study.classifies else {*METRICS, *DISTANCES}
    if metric not in known:
        yield f"reported: no metric is called {metric!r}; {nearest(metric, known)}"
    for title, figures in study.reported.rows.items():
        if len(figures) != columns:
            yield f"reported: {title!r} has {len(figures)} figures, there are {columns} budgets"
        if metric in OVERLAP and (percents := [f for f in figures if f is not None and not 0 <= f <= 1]):
            yield f"reported: {title!r}: {metric} is from 0 to 1 here, got {percents[0]:g}; write 69.5 % as 0.695"


def _strange_plan(plan: Mapping[str, Any]) -> Iterator[str]:
    for key, value in plan.items():
        if key not in Plan.model_fields:
            yield f"plan: {key!r} is no field of a plan; {nearest(key, Plan.model_fields)}"
            continue
        kind: Any = Plan.model_fields[key].annotation
        try:
            TypeAdapter(kind).validate_python(value)
        except ValidationError as e:
            told = e.errors()[0]
            place = ".".join(map(str, ("plan", key, *told["loc"])))
            yield f"{place} = {told['input']!r} {told['msg'].removeprefix('Input ').replace('tuple', 'list')}"


def _strange_runs(study: Study, rows: Sequence[Arm]) -> list[str]:
    """Arms without a run, and runs whose folders could not be told apart or not be made."""
    once = study.model_copy(update={"seeds": study.seeds[:1], "draws": study.draws and study.draws[:1]})
    found = trials(once, [0])
    names, used = [trial.name for trial in found], {trial.arm.title for trial in found}
    faults = [f"the arm {arm.title!r} has no run, as none of the budgets is its own"
              for arm in rows if arm.title not in used]  # fmt: skip
    faults += [f"two runs would be called {name!r}; give their arms labels that differ in more than signs and case"
               for name in _twice(names)]  # fmt: skip
    folders = [slug(label) for label in study.pretraining]
    faults += [f"two variants of pretraining would be called {name!r}; give them labels that differ in more than signs"
               for name in _twice(folders)]  # fmt: skip
    faults += [f"the label of the arm {arm.title!r} has no letter and no digit, by which its runs could be called"
               for arm in rows if not slug(arm.title)]  # fmt: skip
    long = [trial for trial in found if len(trial.name.encode()) > LONGEST]
    return faults + [f"the arm {title!r} is called by too long a label: its runs' folders may have {LONGEST} bytes"
                     for title in dict.fromkeys(trial.arm.title for trial in long)]  # fmt: skip


def _twice(values: Any) -> list[Any]:
    listed = values if isinstance(values, list) else []
    return [v for n, v in enumerate(listed) if v in listed[:n]]
