"""Every fault of a data set, found in one reading of it."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from halfmask.data.fingerprint import Fingerprint, fingerprint
from halfmask.data.formats import read
from halfmask.data.index import Case, Fault, Index
from halfmask.data.parallel import over
from halfmask.data.volume import Grid

TOLERANCE = 0.1
"""Grids of one case may lie apart by this share of a voxel."""


@dataclass
class Finding:
    """What one case's files show; content and channels only if every image could be read."""

    faults: list[Fault] = field(default_factory=list)
    content: str = ""
    channels: int = 0
    fingerprint: Fingerprint | None = None


def check(index: Index, *, executor: Executor | None = None) -> list[Fault]:
    """Read every file of a data set once and list all its faults, errors first. Changes nothing."""
    return faults_of(index, examine(index, executor=executor))


def examine(index: Index, *, executor: Executor | None = None) -> dict[str, Finding]:
    """Read every file once: case name to its faults and, if it has no errors, its fingerprint."""
    reader = CaseReader(tuple(index.labels.values()), index.ignore)
    found = {case.name: f for case, f in over(reader, index.cases, what="check", executor=executor)}
    return {case.name: found[case.name] for case in index.cases}


def faults_of(index: Index, findings: dict[str, Finding]) -> list[Fault]:
    """All faults, errors first: of the layout, of each case, and between cases."""
    faults = list(index.faults)
    for finding in findings.values():
        faults += finding.faults
    faults += _unequal_channels(index, findings)
    faults += _twice(findings)
    faults += _straddling(index)
    faults += _grouped_names(index)
    return sorted(faults, key=lambda f: f.severity != "error")


@dataclass(frozen=True)
class CaseReader:
    """Finds the faults of one case: a function of the case that pickles."""

    values: tuple[int, ...]
    ignore: int | None

    def __call__(self, case: Case) -> Finding:
        finding = Finding()
        try:
            image, grid = self._read_images(case, finding)
            label = self._read_label(case, case.label, grid, finding) if case.label is not None else None
            if image is not None and grid is not None and not any(f.severity == "error" for f in finding.faults):
                finding.fingerprint = fingerprint(image, label, grid, self.ignore)
        except Exception as e:  # whatever a file does, the check of the others goes on
            what = f"could not be checked ({type(e).__name__}: {e})"
            finding.faults.append(Fault("error", case.name, "", what, "open it in a viewer and export it anew"))
        return finding

    def _read_images(self, case: Case, finding: Finding) -> tuple[np.ndarray | None, Grid | None]:
        """All channels (C, *spatial), if their grids agree, and the first file's grid."""
        channels: list[np.ndarray] = []
        first: Grid | None = None
        digest = hashlib.blake2b(digest_size=16)
        for path in case.images:
            try:
                array, grid = read(path)
            except ValueError as e:
                finding.faults.append(_unreadable(case, path, e))
                continue
            digest.update(str((array.shape, array.dtype)).encode())
            digest.update(np.ascontiguousarray(array).data)
            if first is not None:
                finding.faults += grid_faults(case, path, grid, first, case.images[0])
            first = first or grid
            finding.faults += _voxel_faults(case, path, array)
            channels.append(array)
        if len(channels) == len(case.images):
            finding.content, finding.channels = digest.hexdigest(), sum(map(len, channels))
        return (np.concatenate(channels) if len({c.shape[1:] for c in channels}) == 1 else None), first

    def _read_label(self, case: Case, path: Path, grid: Grid | None, finding: Finding) -> np.ndarray | None:
        """The label (*spatial), and what is wrong with it into ``finding``."""
        error = lambda what, remedy: finding.faults.append(Fault("error", case.name, str(path), what, remedy))
        try:
            array, own = read(path)
        except ValueError as e:
            finding.faults.append(_unreadable(case, path, e))
            return None
        if len(array) != 1:
            error(f"the label has {len(array)} channels, one is expected", "store class numbers in one channel")
            return None
        if grid is not None:
            finding.faults += grid_faults(case, path, own, grid, case.images[0])
        if path.suffix.lower() in (".jpg", ".jpeg"):
            what = "JPEG changes label values at edges"
            finding.faults.append(Fault("warning", case.name, str(path), what, "store labels as PNG"))
        values = np.unique(array)
        fractions = [float(v) for v in values if not np.isfinite(v) or v != np.round(v)]
        if fractions:
            error(f"label values are not whole numbers: {fractions[:4]}", "resample labels by nearest neighbor")
            return None
        whole = {int(v) for v in values}
        undeclared = sorted(whole - set(self.values) - {self.ignore})
        if self.values and undeclared:
            what = f"label values {undeclared[:8]} are not declared; declared are {list(self.values)}"
            error(what, "declare them in the data set's description")
        if whole <= {0, self.ignore}:
            what = "the label is empty"
            remedy = "make sure that nothing is there to be marked"
            finding.faults.append(Fault("warning", case.name, str(path), what, remedy))
        return array[0]


def grid_faults(case: Case, path: Path, grid: Grid, first: Grid, first_path: Path) -> Iterator[Fault]:
    """Whether two files of a case lie on one grid."""
    if grid.shape != first.shape:
        what = f"has shape {grid.shape}, {first_path.name} has {first.shape}"
        yield Fault("error", case.name, str(path), what, "were both resampled? bring them to one grid")
    elif (apart := grid.apart(first)) > TOLERANCE * min(first.spacing):
        what = (
            f"lies up to {apart:.2f} mm from {first_path.name} (spacing {_mm(grid.spacing)} and {_mm(first.spacing)})"
        )
        yield Fault("error", case.name, str(path), what, "the headers differ: correct the one that is wrong")


def _voxel_faults(case: Case, path: Path, array: np.ndarray) -> Iterator[Fault]:
    for number, channel in enumerate(array):
        place = f"channel {number} " if len(array) > 1 else ""
        if np.issubdtype(channel.dtype, np.floating) and (bad := int((~np.isfinite(channel)).sum())):
            what = f"{place}has {bad} voxels that are NaN or infinite"
            yield Fault("error", case.name, str(path), what, "replace them, e.g. by the background's value")
        elif channel.min() == channel.max():
            what = f"{place}is {channel.flat[0]} everywhere"
            yield Fault("warning", case.name, str(path), what, "an empty export? remove the case or the channel")


def _unreadable(case: Case, path: Path, error: ValueError) -> Fault:
    reason = str(error).removeprefix(f"{path} ")
    return Fault("error", case.name, str(path), reason, "copy or export it anew, or remove the case")


def _unequal_channels(index: Index, findings: dict[str, Finding]) -> Iterator[Fault]:
    """Cases with fewer or more channels than are declared, or than most have, unless the layout told already."""
    told = {fault.case for fault in index.faults}
    counts = [f.channels for f in findings.values() if f.channels]
    expected = len(index.channels) or (max(set(counts), key=counts.count) if counts else 0)
    for name, finding in findings.items():
        if finding.channels and finding.channels != expected and name not in told:
            what = f"has {finding.channels} channels, {expected} are expected"
            files = ", ".join(str(p) for p in index[name].images)
            yield Fault("error", name, files, what, "add what is missing or remove the case")


def _twice(findings: dict[str, Finding]) -> Iterator[Fault]:
    first: dict[str, str] = {}
    for name, finding in findings.items():
        if finding.content and (other := first.setdefault(finding.content, name)) != name:
            what = f"has the same image as case {other!r}"
            yield Fault("warning", name, "", what, "remove one, or give both one group so that no split parts them")


def _straddling(index: Index) -> Iterator[Fault]:
    splits = defaultdict(set)
    for case in index.cases:
        if case.group is not None:
            splits[case.group].add("test" if case.split == "test" else "train")
    for group, found in splits.items():
        if len(found) > 1:
            members = [f"{c.name} ({c.split or 'train'})" for c in index.cases if c.group == group]
            what = f"group {group!r} is in two splits: {', '.join(members[:6])}"
            yield Fault("error", "", str(index.root), what, "put all of a group in one split")


def _grouped_names(index: Index) -> Iterator[Fault]:
    """patient003_frame01, patient003_frame02: the part before the last separator comes again and again."""
    if any(case.group is not None for case in index.cases):
        return
    members = defaultdict(list)
    for case in index.cases:
        found = re.match(r"^(.*\d.*?)[_\-.][^_\-.]*$", case.name)
        members[found[1] if found else case.name].append(case.name)
    several = {p: m for p, m in members.items() if 2 <= len(m) <= 20}
    if len(members) > 1 and sum(map(len, several.values())) >= len(index.cases) / 2:
        prefix, names = next(iter(several.items()))
        what = f"names look like several scans of one patient: {', '.join(names[:3])} share {prefix!r}"
        remedy = r"if so, give --group '^(.+)[_.-][^_.-]+$' or a group column, so that no split parts them"
        yield Fault("warning", "", str(index.root), what, remedy)


def _mm(spacing: tuple[float, ...]) -> str:
    return "×".join(f"{s:.3g}" for s in spacing)
