"""From a data set to a prepared store."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from halfmask.data.atomic import write_text
from halfmask.data.check import examine, faults_of
from halfmask.data.fingerprint import Fingerprint
from halfmask.data.index import Case, Index
from halfmask.data.parallel import over
from halfmask.data.plan import Plan, read_plan, write_plan
from halfmask.data.planner import make_plan
from halfmask.data.preprocess import preprocess, read_case
from halfmask.data.split import Splits, draw_splits, read_splits, write_splits
from halfmask.data.store import Store, case_folder, source_key, write_index
from halfmask.data.stored_case import is_sound, write_case
from halfmask.progress import say


def prepare(
    index: Index,
    out: Path,
    *,
    test: float = 0.2,
    seed: int = 0,
    dims: Literal[2, 3] | None = None,
    memory_gib: float = 8.0,
    ignore_value: int | None = None,
    executor: Executor | None = None,
) -> Store:
    """Check, split, plan and store a data set; whatever of it is there already and sound is kept.

    plan.yaml and splits.yaml in ``out`` are obeyed if they exist, so both can be edited. Test cases
    are neither measured nor stored.

    Args:
        test: share of the labeled cases to seal, where the data set has no test part of its own.
        seed: of the splits.

    Raises:
        ValueError: with all faults of the data set, or of an edited plan or splits.
    """
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()) and not any((out / f).exists() for f in ("fingerprint.json", "plan.yaml")):
        raise ValueError(f"{out} is not empty and no store; choose another folder")
    fingerprints = _fingerprints(index, out, executor)
    splits = _splits(index, out / "splits.yaml", test=test, seed=seed)
    tested = {splits.group(name) for name in splits.test}
    cases = [c for c in index.cases if splits.group(c.name) not in tested]
    plan_file = out / "plan.yaml"
    if plan_file.exists():
        plan = read_plan(plan_file)
    else:
        seen = [fingerprints[c.name] for c in cases]
        plan = make_plan(index, seen, dims=dims, memory_gib=memory_gib, ignore_value=ignore_value)
        write_plan(plan, plan_file)
    _store(cases, out, plan, executor)
    _remove_others(out, cases)
    write_index(out, index)
    return Store(out)


@dataclass(frozen=True)
class CaseWriter:
    """Prepares and stores one case: a function of the case that pickles."""

    out: Path
    plan: Plan

    def __call__(self, case: Case) -> None:
        try:
            image, label, grid = read_case(case)
            prepared = preprocess(image, label, grid, self.plan)
        except ValueError as e:
            raise ValueError(str(e) if case.name in str(e) else f"case {case.name!r}: {e}") from e
        write_case(case_folder(self.out, case.name), prepared, self.key(case))

    def key(self, case: Case) -> str:
        return f"{self.plan.preparation_key()}-{source_key(case)}"


def _fingerprints(index: Index, out: Path, executor: Executor | None) -> dict[str, Fingerprint]:
    """Those in fingerprint.json if no file has changed since, else from a new reading, with all faults told."""
    file = out / "fingerprint.json"
    if index.faults:
        _refuse([f for f in index.faults if f.severity == "error"])
    _refuse_missing(index)
    sources = {case.name: source_key(case) for case in index.cases}
    if file.exists():
        content = json.loads(file.read_text(encoding="utf-8"))
        if {name: about.pop("source") for name, about in content.items()} == sources:
            return {name: _fingerprint(about) for name, about in content.items()}
    findings = examine(index, executor=executor)
    faults = faults_of(index, findings)
    _refuse([f for f in faults if f.severity == "error"])
    for fault in faults:
        say(f"warning: {fault}")
    result = {name: f.fingerprint for name, f in findings.items() if f.fingerprint is not None}
    write_text(file, json.dumps({n: {"source": sources[n], **asdict(f)} for n, f in result.items()}))
    return result


def _refuse_missing(index: Index) -> None:
    files = [(c, p) for c in index.cases for p in (*c.images, *([c.label] if c.label else []))]
    gone = [f"case {c.name!r}: {p}: there is no such file" for c, p in files if not p.is_file()]
    if gone:
        raise ValueError("\n".join(gone))


def _refuse(errors: Sequence[object]) -> None:
    if errors:
        raise ValueError(f"the data set has {len(errors)} faults:\n" + "\n".join(map(str, errors)))


def _fingerprint(about: dict) -> Fingerprint:
    nested = tuple(tuple(channel) for channel in about.pop("intensities"))
    rest: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in about.items()}
    return Fingerprint(**rest, intensities=nested)


def _splits(index: Index, file: Path, *, test: float, seed: int) -> Splits:
    if file.exists():
        return read_splits(file, {c.name for c in index.cases})
    splits = draw_splits(index, test=test, seed=seed)
    write_splits(splits, file)
    return splits


def _store(cases: Sequence[Case], out: Path, plan: Plan, executor: Executor | None) -> None:
    """Store what is not stored soundly yet."""
    writer = CaseWriter(out, plan)
    missing = [c for c in cases if not is_sound(case_folder(out, c.name), writer.key(c))]
    if len(missing) < len(cases):
        say(f"prepare: {len(cases) - len(missing)} of {len(cases)} cases are stored already")
    for _ in over(writer, missing, what="prepare", executor=executor):
        pass


def _remove_others(out: Path, cases: Sequence[Case]) -> None:
    """Leftovers of killed runs, and cases that are no longer in the data set or now sealed."""
    known = {c.name for c in cases}
    for folder in (out / "cases").iterdir():
        if folder.name not in known:
            shutil.rmtree(folder, ignore_errors=True)
