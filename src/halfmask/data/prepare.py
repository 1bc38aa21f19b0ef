"""From a data set to a prepared store."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from halfmask.data.atomic import write_text
from halfmask.data.batch import IGNORE
from halfmask.data.check import examine, faults_of
from halfmask.data.draw import FOLDS, draw_splits
from halfmask.data.fingerprint import Fingerprint
from halfmask.data.index import Case, Index
from halfmask.data.parallel import over
from halfmask.data.plan import Plan, plan_of, read_plan, write_plan
from halfmask.data.planner import make_plan, regions_by_name, short
from halfmask.data.preprocess import preprocess, read_case
from halfmask.data.split import Splits, read_splits, write_splits
from halfmask.data.store import BRAINS, Store, case_folder, source_key, write_index
from halfmask.data.stored_case import is_sound, write_case
from halfmask.progress import say

PLANNED = 1000
"""So many cases, evenly over all, are enough to make a plan from."""


def prepare(
    index: Index,
    out: Path,
    *,
    test: float | None = None,
    seed: int | None = None,
    folds: int | None = None,
    stratify: bool | None = None,
    dims: Literal[2, 3] | None = None,
    spacing: Sequence[float] | None = None,
    memory_gib: float | None = None,
    ignore_value: int | None = None,
    fields: Mapping[str, Any] | None = None,
    executor: Executor | None = None,
) -> Store:
    """Check, split, plan and store a data set; whatever of it is there already and sound is kept.

    plan.yaml and splits.yaml in ``out`` are obeyed if they exist, so both can be edited; an argument that
    says otherwise is refused. Both are written once all is decided. Test cases are neither measured nor stored.

    Args:
        test: share of the labeled cases to seal (0.2), where the data set has no test part of its own.
        seed: of the splits (0).
        folds, stratify: see `draw_splits`.
        dims, spacing: see `make_plan`.
        memory_gib: that one training of one network may take (8).
        ignore_value: overrides the data set's own.
        fields: of the plan, see `make_plan`.

    Raises:
        ValueError: with all faults of the data set, or of an edited plan or splits.
    """
    not_whole = {"--memory": memory_gib, "--ignore-value": ignore_value}
    if index.classes and (given := [option for option, value in not_whole.items() if value is not None]):
        raise ValueError(f"of whole images nothing depends on {' and '.join(given)}; leave it out, see --set patch=…")
    if ignore_value is not None:
        index = replace(index, ignore=ignore_value)
    plan_file, splits_file, fingerprint_file = (out / f for f in ("plan.yaml", "splits.yaml", "fingerprint.json"))
    others = [p for p in out.glob("*") if not p.name.startswith(".partial-") and p.name != BRAINS]
    if others and not any(f.exists() for f in (plan_file, splits_file, fingerprint_file)):
        raise ValueError(f"{out} is not empty and no store; choose another folder")
    if plan_file.exists():
        _same_task(index, plan_file)
    sources = _sources(index, executor)
    fingerprints = _remembered(fingerprint_file, sources) or _measured(index, index.cases, executor)
    if splits_file.exists():
        asked = {"test": test, "seed": seed, "folds": folds, "stratify": stratify}
        splits = _read_splits(index, splits_file, asked)
    else:
        share = 0.2 if test is None else test
        splits = draw_splits(index, test=share, folds=folds, seed=seed or 0, stratify=bool(stratify))
    tested = {splits.group(name) for name in splits.test}
    cases = [c for c in index.cases if splits.group(c.name) not in tested]
    known = [fingerprints.get(c.name) for c in cases]
    if None in known or all(f.intensities is None for f in known if f):  # splits.yaml was edited: others were sealed
        fingerprints = _measured(index, cases, executor)
    fingerprints = {c.name: fingerprints[c.name] for c in cases}
    if plan_file.exists():
        told = {"dims": dims, "spacing": spacing, "memory_gib": memory_gib, "ignore_value": ignore_value}
        plan = _read_plan(index, plan_file, told, fields or {})
    else:
        plan = make_plan(
            index, list(fingerprints.values()), dims=dims, spacing=spacing, memory_gib=memory_gib or 8.0, fields=fields
        )
        write_plan(plan, plan_file)
    if not splits_file.exists():
        write_splits(splits, splits_file)
    about = {n: asdict(f) for n, f in fingerprints.items()}
    write_text(fingerprint_file, json.dumps({"sources": sources, "cases": about}))
    _store(cases, out, plan, executor)
    _remove_others(out, cases)
    write_index(out, index, plan)
    return Store(out)


@dataclass(frozen=True)
class CaseWriter:
    """Prepares and stores one case: a function of the case that pickles."""

    out: Path
    plan: Plan

    def __call__(self, case: Case) -> int:
        """Returns: labeled voxels that were cut off with the background."""
        try:
            image, label, grid = read_case(case)
            prepared = preprocess(image, label, grid, self.plan)
        except ValueError as e:
            raise ValueError(str(e) if case.name in str(e) else f"case {case.name!r}: {e}") from e
        write_case(case_folder(self.out, case.name), prepared, self.key(case), self.target(case))
        return prepared.cut

    def target(self, case: Case) -> tuple[int, ...] | None:
        """What a whole image shows; of an unlabeled one nobody knows anything."""
        if not self.plan.classifies:
            return None
        return case.target or (IGNORE,) * (1 if self.plan.exclusive else self.plan.classes)

    def is_done(self, case: Case) -> bool:
        """Whether the case is stored soundly, from the same files and plan."""
        return is_sound(case_folder(self.out, case.name), self.key(case))

    def key(self, case: Case) -> str:
        return f"{self.plan.preparation_key()}-{source_key(case)}"


def _sources(index: Index, executor: Executor | None) -> dict[str, str]:
    """What the check depends on, by case: another key, and the data set is read anew."""
    files = [p for c in index.cases for p in (*c.images, *([c.label] if c.label else []))]
    if any(f.severity == "error" for f in index.faults) or not all(p.is_file() for p in files):
        _measured(index, index.cases, executor)  # which tells all other faults too
    told = (index.channels, index.labels, index.ignore, *((index.classes,) if index.classes else ()))
    described = hashlib.blake2b(repr(told).encode(), digest_size=4).hexdigest()
    return {case.name: f"{source_key(case)}-{described}" for case in index.cases}


def _remembered(file: Path, sources: dict[str, str]) -> dict[str, Fingerprint]:
    """The fingerprints in fingerprint.json, those of test cases left out; none if any file has changed since."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["sources"] != sources:
            return {}
        return {name: _fingerprint(about) for name, about in content["cases"].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}  # none yet, or of another version


def _measured(index: Index, cases: Sequence[Case], executor: Executor | None) -> dict[str, Fingerprint]:
    """The fingerprints of all cases from a new reading of the data set, with all its faults told.

    Args:
        cases: of which, evenly, those are taken that a plan is made from.
    """
    trained = [c.name for c in cases if c.split != "test"]
    planned = frozenset(trained[:: max(1, -(-len(trained) // PLANNED))])
    findings = examine(index, planned=planned, executor=executor)
    faults = faults_of(index, findings)
    _refuse([f for f in faults if f.severity == "error"])
    for fault in faults:
        say(f"warning: {fault}")
    return {name: f.fingerprint for name, f in findings.items() if f.fingerprint is not None}


def _refuse(errors: Sequence[object]) -> None:
    if errors:
        raise ValueError(f"the data set has {len(errors)} faults:\n" + "\n".join(map(str, errors)))


def _fingerprint(about: dict) -> Fingerprint:
    voxels = about.pop("intensities")
    nested = None if voxels is None else tuple(tuple(channel) for channel in voxels)
    rest: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in about.items()}
    return Fingerprint(**rest, intensities=nested)


def _read_splits(index: Index, file: Path, asked: dict[str, Any]) -> Splits:
    """The splits of the file, which has to agree with what was asked for."""
    splits = read_splits(file, index.cases)
    unasked = {"folds": FOLDS, "stratify": False} if splits.drawn else {}  # as files were drawn that do not tell them
    _agrees(file, unasked | splits.drawn, asked)
    listed = {name for part in (splits.test, *splits.folds, *splits.orders) for name in part}
    if new := [c.name for c in index.cases if c.labeled and c.name not in listed]:
        some = ", ".join(new[:3])
        say(f"warning: {file} lists {len(new)} labeled cases nowhere ({some}, …), so they count as unlabeled; "
            "list them, or remove the file to draw new splits")  # fmt: skip
    return splits


def _read_plan(index: Index, file: Path, asked: dict[str, Any], fields: Mapping[str, Any]) -> Plan:
    """The plan of the file, which has to agree with what was asked for."""
    plan = read_plan(file)
    told, spacing = plan.model_dump(), asked["spacing"]
    wanted = plan_of({**told, **fields}, where="the plan cannot be so").model_dump()
    asked = asked | {name: wanted[name] for name in fields}
    if spacing is not None:  # it may be given for the last axes alone
        asked = asked | {"spacing": tuple(map(short, spacing))}
        told["spacing"] = plan.spacing[-len(spacing) :]
    _agrees(file, told, asked)
    if index.labels and plan.labels != {name: v for name, v in index.labels.items() if v != index.ignore}:
        say(f"warning: the labels in {file} are not the data set's, {index.labels}; edit the plan or remove it")
    if plan.regions != (regions := regions_by_name(index, plan.labels)):
        say(f"warning: the regions in {file} are not the data set's, {regions}; edit the plan or remove it")
    return plan


def _same_task(index: Index, file: Path) -> None:
    """Raise ValueError unless the plan of the file tells the same classes of whole images, or segments as is asked."""
    plan = read_plan(file)
    if plan.columns != list(index.columns) or (index.classes and list(plan.labels) != list(index.classes)):
        there = f"{plan.task} of {', '.join(plan.labels)}"
        remedy = "give the --classes that it was prepared with, or another --out"
        raise ValueError(f"{file} exists and is a plan for {there}, not for what was asked for; {remedy}")


def _agrees(file: Path, told: dict[str, Any], asked: dict[str, Any]) -> None:
    differ = [f"{key} is {told[key]} there, {value} was asked for" for key, value in asked.items()
              if value is not None and key in told and told[key] != value]  # fmt: skip
    if differ:
        raise ValueError(f"{file} exists and is obeyed, but {'; '.join(differ)}. Edit the file, or remove it")


def _store(cases: Sequence[Case], out: Path, plan: Plan, executor: Executor | None) -> None:
    """Store what is not stored soundly yet."""
    writer = CaseWriter(out, plan)
    there = [c for c in cases if case_folder(out, c.name).exists()]
    done = {case.name for case, fine in over(writer.is_done, there, what="verify", executor=executor) if fine}
    missing = [c for c in cases if c.name not in done]
    if missing:  # until all are stored, the store is not finished
        (out / "index.json").unlink(missing_ok=True)
    if done:
        say(f"prepare: {len(done)} of {len(cases)} cases are stored already")
    for case, cut in over(writer, missing, what="prepare", executor=executor):
        if cut:
            say(f"warning: case {case.name!r}: {cut} labeled voxels lie in what is cut off as background")


def _remove_others(out: Path, cases: Sequence[Case]) -> None:
    """Leftovers of killed runs, and cases that are no longer in the data set or now sealed."""
    known = {c.name for c in cases}
    for folder in (out / "cases").iterdir():
        if folder.name not in known:
            shutil.rmtree(folder, ignore_errors=True)
