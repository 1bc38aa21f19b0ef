"""The layouts that data sets have on disk, each read into an `Index`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from halfmask.data.formats import DICOM, is_dicom, stem, suffix
from halfmask.data.index import Case, Fault, Index
from halfmask.data.layouts import benchmark, bids, decathlon, dicom, folders, loose, nnunet, table
from halfmask.progress import say

LAYOUTS = (
    "a folder with dataset.json (Medical Segmentation Decathlon, or nnU-Net raw with imagesTr/ and labelsTr/), "
    "BIDS (sub-*/anat/), a folder with images/ and labels/, h5 files with train.list and test.list, a folder of h5 "
    "files, a tree of DICOM files, a CSV table with the columns case, image and, if there are any, label, or, with "
    "--channels, a folder of files CASE_T1.nii.gz, CASE_FLAIR.nii.gz"
)


def read_index(
    path: Path,
    *,
    group: str | None = None,
    domain: str | None = None,
    classes: Sequence[str] = (),
    channels: Mapping[str, str] | None = None,
    label: str | None = None,
    labeled: bool = True,
) -> Index:
    """Read a data set's layout; of the images none but h5 files are opened, of DICOM files the headers.

    Args:
        path: `LAYOUTS`; a folder with cases.csv is read by that table.
        group: a regular expression; its first parenthesis (or the whole match) in a case's name is
            the case's group. The table's ``group`` column goes before it. Without it, h5 files that are called as
            those of ACDC are (patient001_frame01) are grouped by patient.
        domain: the same for the case's domain (scanner, site), which the data set may name too.
        classes: columns of a CSV table that tell what whole images show, for a data set to classify; see
            `table.read`.
        channels: by name, regular expressions that tell which files or series are a case's images, in order, where
            the layout leaves a choice.
        label: a regular expression that tells which masks are the labels, where the layout leaves a choice; see
            `bids.read` and `loose.read`.
        labeled: False where labels are not asked for, as to predict: then those that have to be chosen, or are wrong,
            are no fault of BIDS sets and of DICOM files, whose cases have none.

    Raises:
        ValueError: there is no data set at ``path``, or its description cannot be read, or it has no such columns.
    """
    path = Path(path)
    by_choice = False
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
    elif bids.is_bids(path):
        index, by_choice = bids.read(path, channels=channels, label=label, labeled=labeled), True
    elif (path / "images").is_dir():
        index = folders.read(path)
    elif benchmark.is_listed(path):
        index = benchmark.read(path, grouped=group is None)
    elif benchmark.is_loose(path):
        index = benchmark.read_loose(path, grouped=group is None)
    elif path.is_dir() and dicom.is_tree(path):
        if label is not None:
            raise ValueError(f"{path}: labels are the segmentation objects that refer to a series; leave --label out")
        index, by_choice = dicom.read(path, channels, labeled=labeled), True
    elif channels and loose.is_loose(path):
        index, by_choice = loose.read(path, channels, label), True
    else:
        strange = dicom.told_strange(path) if path.is_dir() else ""
        raise ValueError(f"{path} holds no data set; expected {LAYOUTS}{strange}")
    if (channels or label) and not by_choice:
        raise ValueError(f"{path} says itself which files are images and labels; leave --channels and --label out")
    if not index.cases and all(fault.severity == "warning" for fault in index.faults):
        raise ValueError("\n".join([f"{path} holds no case; expected {LAYOUTS}", *map(str, index.faults)]))
    index = _told_by_name(index, "group", group) if group else index
    return _unique(_told_by_name(index, "domain", domain) if domain else index)


def is_data_set(path: Path) -> bool:
    """Whether a folder is one of the `LAYOUTS`, and not just a folder of files."""
    return _is_marked(path) or (path.is_dir() and dicom.is_tree(path))


def _is_marked(path: Path) -> bool:
    """Whether names of files and folders tell the layout; DICOM files tell it by what is in them."""
    told = any((path / name).exists() for name in ("dataset.json", "cases.csv", "images"))
    return told or bids.is_bids(path) or benchmark.is_listed(path) or benchmark.is_loose(path)


def read_images(
    path: Path, *, channels: int, patterns: Mapping[str, str] | None = None, names: Sequence[str] = ()
) -> list[Case]:
    """Cases to predict: those of a data set, of a folder of images, or one image, or a file of a DICOM series.

    Args:
        channels: of the model. In a folder CASE_0000 is the first channel of CASE only if there are several, or if
            every file is called so (as nnU-Net's are).
        patterns: see `read_index`, ``channels``.
        names: of the model's channels; where there are several, and no patterns are given, they choose the series of
            DICOM files, and the files of a folder by how their names end.

    Raises:
        ValueError: there is no image at ``path``.
    """
    path = Path(path)
    single = path.is_file() and path.suffix.lower() != ".csv"
    if single and patterns is not None:
        raise ValueError(
            f"{path} is one image, so there is nothing to choose; leave --channels out, or give its folder"
        )
    if single and suffix(path) not in DICOM and suffix(path):
        return [Case(stem(path), (path,))]
    tree = path.is_dir() and not _is_marked(path) and dicom.is_tree(path)
    if tree and patterns is None and len(names) > 1:
        patterns = {name: re.escape(name) for name in names}
    try:
        index = (
            dicom.read_one(path) if single and is_dicom(path) else read_index(path, channels=patterns, labeled=False)
        )
    except ValueError:
        if tree or not path.is_dir() or not any(suffix(p) for p in path.iterdir()):
            raise
        index = _loose_images(path, channels, names)
    errors = [fault for fault in index.faults if fault.severity == "error"]
    if errors or not index.cases:
        told = map(str, errors or index.faults)
        raise ValueError("\n".join([*([] if errors else [f"{path} holds no image to predict"]), *told]))
    for fault in index.faults:
        say(f"warning: {fault}")
    return list(index.cases)


def _loose_images(path: Path, channels: int, names: Sequence[str]) -> Index:
    """CASE_T1.nii.gz, CASE_FLAIR.nii.gz by the names of the model's channels, else CASE_0000.nii.gz or CASE.nii.gz."""
    index = loose.read(path, {name: re.escape(name) for name in names}) if channels > 1 else None
    return index if index is not None and index.cases else folders.read_images(path, channels=channels)


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
    if index.cases and not found:
        what = f"the {field} pattern {pattern!r} is not used, for the data set itself tells each case's {field}"
        unused = Fault("warning", "", str(index.root), what, f"leave --{field} out")
        return replace(index, faults=(*index.faults, unused))
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
