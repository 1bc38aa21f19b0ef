"""The prepared store: a folder with plan.yaml, splits.yaml, index.json and the prepared cases."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any

from halfmask.config import nearest
from halfmask.data.atomic import write_text
from halfmask.data.formats import files_of, uid_of
from halfmask.data.index import Case, Index
from halfmask.data.plan import Plan, read_plan
from halfmask.data.split import Splits, read_splits
from halfmask.data.stored_case import StoredCase

FORMAT = 2
BRAINS = "brains"
"""The folder in a store for brains made of raw heads, where the plan asks for them."""


class Store:
    """A prepared data set.

    Raises:
        ValueError: the folder is no finished store.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        if not self.index_file.is_file():
            raise ValueError(f"{self.path} is no finished store; run `halfmask prepare DATA --out {self.path}`")

    @property
    def plan_file(self) -> Path:
        return self.path / "plan.yaml"

    @property
    def splits_file(self) -> Path:
        return self.path / "splits.yaml"

    @property
    def index_file(self) -> Path:
        return self.path / "index.json"

    @cached_property
    def plan(self) -> Plan:
        plan = read_plan(self.plan_file)
        if plan.preparation_key() != self._index["plan"]:
            raise ValueError(f"{self.plan_file} was edited since the cases were stored; run `halfmask prepare` again")
        return plan

    @cached_property
    def splits(self) -> Splits:
        return read_splits(self.splits_file, self.sources.values())

    @cached_property
    def sources(self) -> dict[str, Case]:
        """Every case of the data set with its files, test cases included."""
        return {name: _case(name, about) for name, about in self._index["cases"].items()}

    @cached_property
    def _index(self) -> dict[str, Any]:
        content = json.loads(self.index_file.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(
                f"{self.path} has store format {content['format']}, this version reads {FORMAT}; prepare it anew"
            )
        return content

    @cached_property
    def stored(self) -> tuple[str, ...]:
        """Names of the prepared cases: all outside the test part."""
        tested = {self.splits.group(c) for c in self.splits.test}
        return tuple(n for n in self.sources if self.splits.group(n) not in tested)

    def case(self, name: str) -> StoredCase:
        if name not in self.sources:
            raise ValueError(f"no case is called {name!r}; {nearest(name, self.sources)}")
        return StoredCase(case_folder(self.path, name))


def case_folder(store: Path, name: str) -> Path:
    return store / "cases" / name


def source_key(case: Case) -> str:
    """A digest of a case's files by size and time of change: another key, and it is read anew."""
    digest = hashlib.blake2b(digest_size=8)
    for first in (*case.images, *([case.label] if case.label else [])):
        for path in files_of(first):
            stat = path.stat()
            digest.update(f"{path.name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
        digest.update(uid_of(first).encode())  # exports call the files of every series alike
    digest.update(f"{case.target}\n".encode() if case.target is not None else b"")
    return digest.hexdigest()


def write_index(path: Path, index: Index, plan: Plan) -> None:
    """index.json: where each case's files are. Its presence says that the store is finished."""
    content = {"format": FORMAT, "plan": plan.preparation_key(), "cases": {c.name: _about(c) for c in index.cases}}
    write_text(path / "index.json", json.dumps(content, indent=1))


def _about(case: Case) -> dict[str, object]:
    about: dict[str, object] = {"images": [str(p.resolve()) for p in case.images]}
    about |= {"label": str(case.label.resolve())} if case.label else {}
    about |= {"mask": str(case.mask.resolve())} if case.mask else {}
    about |= {"target": list(case.target)} if case.target is not None else {}
    return about | {k: v for k in ("group", "split", "domain") if (v := getattr(case, k)) is not None}


def _case(name: str, about: dict) -> Case:
    label, mask, target = (about.get(key) for key in ("label", "mask", "target"))
    return Case(
        name,
        tuple(Path(p) for p in about["images"]),
        Path(label) if label else None,
        about.get("group"),
        about.get("split"),
        about.get("domain"),
        None if target is None else tuple(target),
        Path(mask) if mask else None,
    )
