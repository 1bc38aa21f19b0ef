"""The layouts that data sets have on disk, each read into an `Index`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from halfmask.data.formats import stem, suffix
from halfmask.data.index import Case, Fault, Index
from halfmask.data.layouts import benchmark, decathlon, folders, nnunet, table

LAYOUTS = (
    "a folder with dataset.json (Medical Segmentation Decathlon, or nnU-Net raw with imagesTr/ and labelsTr/), "
    "a folder with images/ and labels/, h5 files with train.list and test.list, a folder of h5 files, "
    "or a CSV table with the columns case, image and, if there are any, label"
)


def read_index(
    path: Path, *, group: str | None = None, domain: str | None = None, classes: Sequence[str] = ()
) -> Index:
    """Read a data set's layout; of the images none but h5 files are opened.

    Args:
        path: `LAYOUTS`; a folder with cases.csv is read by that table.
        group: a regular expression; its first parenthesis (or the whole match) in a case's name is
            the case's group. The table's ``group`` column goes before it. Without it, h5 files that are called as
            those of ACDC are (patient001_frame01) are grouped by patient.
        domain: the same for the case's domain (scanner, site), which the data set may name too.
        classes: columns of a CSV table that tell what whole images show, for a data set to classify; see
            `table.read`.

    Raises:
        ValueError: there is no data set at ``path``, or its description cannot be read, or it has no such columns.
    """
    path = Path(path)
    if path.is_file() and path.suffix.lower() == ".csv":
        index = table.read(path, classes)
    elif classes and not (path / "cases.csv").is_file():
        raise ValueError(
            f"classes are told by columns of a CSV table of cases, and {path} holds no cases.csv; give a table"
        )
    elif (path / "dataset.json").is_file() and not classes:
        index = _described(path / "dataset.json")
    elif (path / "cases.csv").is_file():
        index = table.read(path / "cases.csv", classes)
    elif (path / "images").is_dir():
        index = folders.read(path)
    elif benchmark.is_listed(path):
        index = benchmark.read(path, grouped=group is None)
    elif benchmark.is_loose(path):
        index = benchmark.read_loose(path, grouped=group is None)
    else:
        raise ValueError(f"{path} holds no data set; expected {LAYOUTS}")
    if not index.cases and all(fault.severity == "warning" for fault in index.faults):
        raise ValueError("\n".join([f"{path} holds no case; expected {LAYOUTS}", *map(str, index.faults)]))
    index = _told_by_name(index, "group", group) if group else index
    return _unique(_told_by_name(index, "domain", domain) if domain else index)


def is_data_set(path: Path) -> bool:
    """Whether a folder is one of the `LAYOUTS`, and not just a folder of files."""
    told = any((path / name).exists() for name in ("dataset.json", "cases.csv", "images"))
    return told or benchmark.is_listed(path) or benchmark.is_loose(path)


def read_images(path: Path, *, channels: int) -> list[Case]:
    """Cases to predict: those of a data set, of a folder of images, or one image.

    Args:
        channels: of the model. In a folder CASE_0000 is the first channel of CASE only if there are several, or if
            every file is called so (as nnU-Net's are).

    Raises:
        ValueError: there is no image at ``path``.
    """
    path = Path(path)
    if path.is_file() and suffix(path):
        return [Case(stem(path), (path,))]
    try:
        index = read_index(path)
    except ValueError:
        if not path.is_dir() or not any(suffix(p) for p in path.iterdir()):
            raise
        index = folders.read_images(path, channels=channels)
    if index.faults:
        raise ValueError("\n".join(map(str, index.faults)))
    return list(index.cases)


def _described(file: Path) -> Index:
    """By dataset.json: cases listed under "training", mapped under "dataset", or as they lie in imagesTr/."""
    if (other := file.with_name("dataset.yaml")).is_file():
        raise ValueError(f"{other} would not be read, for {file.name} lies beside it; put its channels, labels, "
                         f"regions and ignore into {file.name} under the same keys, and remove it")  # fmt: skip
    about = decathlon.read_about(file)
    if isinstance(about.get("training"), list):
        return decathlon.read(file, about)
    if "training" not in about and ("dataset" in about or (file.parent / "imagesTr").is_dir()):
        return nnunet.read(file, about)
    raise ValueError(f"{file}: expected a list 'training', a mapping 'dataset' or a folder imagesTr; see {LAYOUTS}")


def _told_by_name(index: Index, field: Literal["group", "domain"], pattern: str) -> Index:
    """The index with the groups or domains that a pattern finds in the names of cases that have none."""
    try:
        expression = re.compile(pattern)
    except re.error as e:
        raise ValueError(f"the {field} pattern {pattern!r} is no regular expression: {e}") from e
    found = {case.name: expression.search(case.name) for case in index.cases if getattr(case, field) is None}
    if missed := [name for name, match in found.items() if match is None]:
        raise ValueError(f"the {field} pattern {pattern!r} does not match {_some(missed)}; it must match every case")
    told = {name: m.group(1) if m.re.groups else m.group(0) for name, m in found.items() if m is not None}
    named = lambda case: replace(case, **{field: told[case.name]}) if case.name in told else case
    return replace(index, cases=tuple(map(named, index.cases)))


def _unique(index: Index) -> Index:
    """A name twice is a fault; the first case keeps it."""
    kept: dict[str, Case] = {}
    faults = list(index.faults)
    for case in index.cases:
        if not case.name or "/" in case.name or "\\" in case.name or case.name.startswith("."):
            what = "the name cannot be a file's"
            faults.append(Fault("error", case.name, str(case.images[0]), what, "leave out slashes and leading dots"))
        elif case.name in kept:
            what = f"the name is used for {kept[case.name].images[0]} already"
            faults.append(Fault("error", case.name, str(case.images[0]), what, "give each case its own name"))
        else:
            kept[case.name] = case
    return replace(index, cases=tuple(kept.values()), faults=tuple(faults))


def _some(names: Iterable[str], count: int = 5) -> str:
    names = list(names)
    rest = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(repr(n) for n in names[:count]) + rest
