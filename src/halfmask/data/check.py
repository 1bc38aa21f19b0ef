"""Every fault of a data set, found in one reading of it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path

from halfmask.data.check_case import CaseReader, Finding
from halfmask.data.formats import Note
from halfmask.data.index import Fault, Index
from halfmask.data.parallel import over


def check(index: Index, *, executor: Executor | None = None) -> list[Fault]:
    """Read every file of a data set once and list all its faults, errors first. Changes nothing."""
    return faults_of(index, examine(index, executor=executor))


def examine(
    index: Index, *, planned: frozenset[str] | None = None, executor: Executor | None = None
) -> dict[str, Finding]:
    """Read every file once: case name to its faults and, if it has no errors, its fingerprint.

    Args:
        planned: the cases that a plan is to be made from; all if None.
    """
    reader = CaseReader(tuple(index.labels.values()), index.ignore, planned)
    found = {case.name: f for case, f in over(reader, index.cases, what="check", executor=executor)}
    return {case.name: found[case.name] for case in index.cases}


def faults_of(index: Index, findings: dict[str, Finding]) -> list[Fault]:
    """All faults, errors first: of the layout, of each case, and between cases."""
    faults = list(index.faults)
    for finding in findings.values():
        faults += finding.faults
    faults += _misnamed(index)
    faults += _strange_classes(index)
    faults += _noted(index, findings)
    faults += _mixed(index, findings)
    faults += _unequal_channels(index, findings)
    faults += _twice(findings)
    faults += _straddling(index)
    faults += _grouped_names(index)
    return sorted(faults, key=lambda f: f.severity != "error")


def _misnamed(index: Index) -> Iterator[Fault]:
    """Regions that cannot be, and names that stand for something else."""
    error = lambda what, remedy: Fault("error", "", str(index.root), what, remedy)
    for name, values in index.regions.items():
        if not values:
            yield error(f"region {name!r} holds no label", "name the labels that it is made of, or leave it out")
        if index.ignore in values:
            yield error(f"region {name!r} holds the ignore value {index.ignore}", "take it out of the region")
    for name in {*index.labels, *index.regions} & {"mean"}:
        yield error(f"a label or region is called {name!r}, as the row over all of them is", "rename it")


def _strange_classes(index: Index) -> Iterator[Fault]:
    """Classes of whole images that cannot be learned, or not be told apart in the tables of predictions."""
    error = lambda what, remedy: Fault("error", "", str(index.root), what, remedy)
    if twice := sorted({name for name in index.columns if index.columns.count(name) > 1}):
        yield error(f"--classes names {', '.join(twice)} twice", "name each column once")
    warning = lambda case, what, remedy: Fault("warning", case, str(index.root), what, remedy)
    spelled = defaultdict(list)
    for name in index.classes:
        spelled[name.casefold()].append(name)
    for names in spelled.values():
        if len(names) > 1:
            yield warning(
                "", f"the classes {', '.join(names)} differ in case alone", "spell them alike if they are one"
            )
    for case in index.cases:
        if case.mask is not None and not case.mask.is_file():
            yield warning(case.name, f"its mask {case.mask} is not there", "saliency is not measured against it")
    for name in {*index.classes} & {"mean"}:
        yield error(f"a class is called {name!r}, as the row over all of them is", "rename it")
    if len(index.columns) == 1:
        known = sorted({index.classes[case.target[0]] for case in index.cases if case.target is not None})
        if len(known) < 2:
            what = f"column {index.columns[0]!r} holds {known[0] if known else 'nothing'}, two classes are needed"
            yield error(what, "name another column by --classes")
        return
    for name in index.columns:
        if ";" in name or name.startswith("?"):
            yield error(f"the class {name!r} has ';' or begins with '?', which part classes in tables", "rename it")


def _noted(index: Index, findings: dict[str, Finding]) -> Iterator[Fault]:
    """Each note once, however many files it is true of."""
    files: dict[Note, list[tuple[str, Path]]] = defaultdict(list)
    for name, finding in findings.items():
        for path, note in finding.notes:
            files[note].append((name, path))
    for note, found in files.items():
        if len(found) == 1:
            yield Fault("warning", found[0][0], str(found[0][1]), note.what, note.remedy)
        else:
            what = f"{len(found)} files, {found[0][1].name} the first: each {note.what}"
            yield Fault("warning", "", str(index.root), what, note.remedy)


def _mixed(index: Index, findings: dict[str, Finding]) -> Iterator[Fault]:
    prints = {name: f.fingerprint for name, f in findings.items() if f.fingerprint is not None}
    pictures = [name for name, f in prints.items() if f.axes is None]
    scans = [name for name, f in prints.items() if f.axes is not None]
    if pictures and scans:
        what = f"mixes {len(pictures)} pictures ({pictures[0]!r}, …) and {len(scans)} scans ({scans[0]!r}, …)"
        yield Fault("error", "", str(index.root), what, "make two data sets of them")


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
    """patient003_frame01, patient003_frame02: the part before the last separator comes again and again.

    The advice is to group by the shortest part that does, up to a number: by patient, not by a frame's slices.
    """
    names = [case.name for case in index.cases]
    if any(case.group is not None for case in index.cases) or not _repeats(names, r"^(.*\d.*?)[_\-.][^_\-.]*$"):
        return
    whole = r"(?:.*?\d+(?![^_.-]))"  # up to the end of a part that ends in a number
    patterns = [*(rf"^({whole}{{{count}}})" for count in (1, 2, 3)), r"^(.+)[_.-][^_.-]+$"]
    pattern = next((p for p in patterns if _repeats(names, p)), patterns[-1])
    groups = _groups(names, pattern)
    prefix = next(prefix for prefix, members in groups.items() if len(members) > 1)
    kinds = {re.sub(r"\d+", r"\\d+", re.escape(prefix).replace(r"\-", "-")) for prefix in groups}
    advice = f"^({kinds.pop()})" if len(kinds) == 1 else f"{pattern}|^.+$"
    what = f"names look like several scans of one patient: {', '.join(groups[prefix][:3])} share {prefix!r}"
    remedy = f"if so, give --group '{advice}' or a group column, so that no split parts them"
    yield Fault("warning", "", str(index.root), what, remedy)


def _groups(names: list[str], pattern: str) -> dict[str, list[str]]:
    """The names by what the pattern's parenthesis matches; by themselves if it does not match."""
    members = defaultdict(list)
    for name in names:
        found = re.match(pattern, name)
        members[found[1] if found else name].append(name)
    return dict(members)


def _repeats(names: list[str], pattern: str) -> bool:
    """Whether most names share their part with some others, though with no more than a scan may have slices."""
    groups = _groups(names, pattern)
    shared = [len(members) for members in groups.values() if len(members) > 1]
    return len(groups) > 1 and len(names) / 2 <= sum(shared) <= 200 * len(shared)
