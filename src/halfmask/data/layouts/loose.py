"""A folder of files that are called CASE_T1.nii.gz, CASE_FLAIR.nii.gz, CASE_lesions.nii.gz, also in folders a case."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from halfmask.data.description import read_description
from halfmask.data.formats import stem
from halfmask.data.index import Case, Fault, Index
from halfmask.data.layouts.channels import image_files, orphan


def is_loose(root: Path) -> bool:
    return bool(_files(root))


def read(root: Path, channels: Mapping[str, str], label: str | None = None) -> Index:
    """Cases by what comes before the ends of the files' names.

    Args:
        channels: name to a regular expression that matches the end after a "_" or "-", whatever its case.
        label: the same for the masks.
    """
    images: dict[str, dict[str, Path]] = defaultdict(dict)
    labels: dict[str, Path] = {}
    faults, others = [], []
    for file in _files(root):
        matches = {name: case for name, pattern in channels.items() if (case := _case(file, root, pattern))}
        masked = _case(file, root, label) if label is not None else None
        if len(matches) + (masked is not None) > 1:
            kinds = [*matches, *(["the label"] if masked else [])]
            remedy = "make the expressions of --channels and --label narrower"
            faults.append(Fault("error", "", str(file), f"could be {' and '.join(kinds)}", remedy))
        elif masked:
            faults += _twice(labels, masked, file, masked)
        elif matches:
            ((name, case),) = matches.items()
            faults += _twice(images[case], name, file, case)
        else:
            others.append(file)
    if others:
        what = f"{len(others)} files match no channel{'' if label else ' (and no --label is given)'}"
        what += f", {others[0].name} the first; they are left out"
        remedy = "name masks by --label, and images by --channels"
        faults.append(Fault("warning", "", str(root), what, remedy))
    cases = []
    for case, found in images.items():
        if missing := [name for name in channels if name not in found]:
            what = f"has {', '.join(p.name for p in found.values())} and nothing for {', '.join(missing)}"
            faults.append(Fault("error", case, str(root), what, "add the file or remove the case"))
        cases.append(Case(case, tuple(found[name] for name in channels if name in found), labels.pop(case, None)))
    faults += [orphan(p, "add its images") for p in labels.values()]
    return read_description(Index(root, tuple(cases), tuple(channels), faults=tuple(faults)))


def _files(root: Path) -> list[Path]:
    folders = sorted(p for p in root.iterdir() if p.is_dir() and p.name[0] != ".") if root.is_dir() else []
    return [file for folder in (root, *folders) for file in image_files(folder)]


def _case(file: Path, root: Path, pattern: str) -> str | None:
    """The case that a file belongs to if its name ends so; CASE/T1.nii.gz belongs to its folder."""
    if file.parent != root and re.fullmatch(pattern, stem(file), re.IGNORECASE):
        return file.parent.name
    found = re.fullmatch(rf"(?P<case_>.+)[_-](?:{pattern})", stem(file), re.IGNORECASE)
    return found["case_"] if found else None


def _twice(found: dict[str, Path], key: str, file: Path, case: str) -> list[Fault]:
    """Put the file there, unless another is there already."""
    if (other := found.setdefault(key, file)) == file:
        return []
    what = f"is {other.name} again by its name"
    return [Fault("error", case, str(file), what, "keep one of them, or make the expressions narrower")]
