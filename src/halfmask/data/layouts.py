"""The layouts that data sets have on disk, each read into an `Index`."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pandas as pd

from halfmask.config import nearest
from halfmask.data.description import described, read_description
from halfmask.data.formats import stem, suffix
from halfmask.data.index import Case, Fault, Index

LAYOUTS = (
    "a folder with dataset.json (Medical Segmentation Decathlon), a folder with images/ and labels/, "
    "or a CSV table with the columns case, image and, if there are any, label"
)


def read_index(path: Path, *, group: str | None = None) -> Index:
    """Read a data set's layout; the images themselves are not opened.

    Args:
        path: `LAYOUTS`; a folder with cases.csv is read by that table.
        group: a regular expression; its first parenthesis (or the whole match) in a case's name is
            the case's group. The table's ``group`` column goes before it.

    Raises:
        ValueError: there is no data set at ``path``, or its description cannot be read.
    """
    path = Path(path)
    if path.is_file() and path.suffix.lower() == ".csv":
        index = _read_table(path)
    elif (path / "dataset.json").is_file():
        index = _read_decathlon(path)
    elif (path / "cases.csv").is_file():
        index = _read_table(path / "cases.csv")
    elif (path / "images").is_dir():
        index = _read_folders(path)
    else:
        raise ValueError(f"{path} holds no data set; expected {LAYOUTS}")
    if not index.cases and not index.faults:
        raise ValueError(f"{path} holds no case; expected {LAYOUTS}")
    return _unique(_grouped(index, group) if group else index)


def read_images(path: Path, *, channels: int) -> list[Case]:
    """Cases to predict: those of a data set, of a folder of images, or one image.

    Args:
        channels: of the model. CASE_0000 is the first channel of CASE only if there are several.

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
        index = _read_files(path, {}, numbered=channels > 1)
    if index.faults:
        raise ValueError("\n".join(map(str, index.faults)))
    return list(index.cases)


# ---------------------------------------------------------------------------- the layouts


def _read_decathlon(root: Path) -> Index:
    """dataset.json: "training" with image and label (or without), "test", "labels", "modality"."""
    file = root / "dataset.json"
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as e:
        raise ValueError(f"{file} is no valid JSON: {e}") from e
    if not isinstance(about, dict) or not isinstance(about.get("training"), list):
        raise ValueError(f"{file}: expected an object with a list 'training'; see {LAYOUTS}")
    cases, faults, listed = [], [], set()
    for part, split in (("training", None), ("unlabeled", None), ("test", "test")):
        if not isinstance(about.get(part, []), list):
            raise ValueError(f"{file}: expected a list of cases under {part!r}, got {about[part]!r}")
        for entry in about.get(part, []):
            entry = {"image": entry} if isinstance(entry, str) else entry
            paths = (entry.get("image"), entry.get("label") or "") if isinstance(entry, dict) else ()
            if not paths or not all(isinstance(p, str) for p in paths):
                what = f"'{part}' lists {entry!r}"
                faults.append(Fault("error", "", str(file), what, 'write {"image": path, "label": path}'))
                continue
            image = root / entry["image"]
            label = root / entry["label"] if entry.get("label") else None
            listed |= {image.resolve(), label and label.resolve()}
            cases.append(Case(stem(image), (image,), label, split=split))
    for folder in ("labelsTr", "labels"):
        for label in sorted((root / folder).glob("*")):
            if suffix(label) and not label.name.startswith(".") and label.resolve() not in listed:
                faults.append(_orphan(label, f"list its image under 'training' in {file.name}"))
    return described(Index(root, tuple(cases), faults=tuple(faults)), about, file)


_CHANNEL = re.compile(r"^(?P<case>.+)_(?P<channel>\d{4})$")


def _read_folders(root: Path) -> Index:
    """images/ and labels/, the label with the name of its case."""
    labels = {stem(p): p for p in sorted((root / "labels").glob("*")) if suffix(p) and p.name[0] != "."}
    return read_description(_read_files(root / "images", labels))


def _read_files(folder: Path, labels: dict[str, Path], *, numbered: bool = True) -> Index:
    """A folder of CASE.ext, or of CASE_0000.ext, CASE_0001.ext, … for channels.

    The four digits number cases, not channels, if a label has the whole name or there is no 0000.
    """
    files = sorted(p for p in folder.iterdir() if suffix(p) and not p.name.startswith("."))
    images: dict[str, dict[int, Path]] = defaultdict(dict)
    names = {stem(p) for p in files}
    numbered &= all(map(_CHANNEL.match, names)) and any(n.endswith("_0000") for n in names) and not names & set(labels)
    faults = []
    for file in files:
        found = _CHANNEL.match(stem(file)) if numbered else None
        case, channel = (found["case"], int(found["channel"])) if found else (stem(file), 0)
        if channel in images[case]:
            what = f"is the same image as {images[case][channel].name} by its name"
            faults.append(Fault("error", case, str(file), what, "keep one of them"))
        images[case][channel] = file
    count = 1 + max((max(found) for found in images.values()), default=0)
    cases = []
    for name, found_channels in images.items():
        for channel in sorted(set(range(count)) - set(found_channels)):
            what = f"channel {channel:04d} is missing; other cases have {count} channels"
            faults.append(Fault("error", name, str(folder), what, "add the file or remove the case"))
        paths = tuple(found_channels[c] for c in sorted(found_channels))
        cases.append(Case(name, paths, labels.pop(name, None)))
    faults += [_orphan(label, f"add its image to {folder}") for label in labels.values()]
    return Index(folder.parent, tuple(cases), faults=tuple(faults))


def _read_table(file: Path) -> Index:
    """A CSV table: case, image (or image_NAME a channel), label, group, domain, split; paths from its folder."""
    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
    except (ValueError, pd.errors.ParserError) as e:
        raise ValueError(f"{file} cannot be read as a CSV table: {e}") from e
    images = [c for c in table.columns if c == "image" or c.startswith("image_")]
    if "case" not in table.columns or not images:
        missing = "case" if "case" not in table.columns else "image"
        raise ValueError(
            f"{file} has no column {missing!r} but {', '.join(table.columns)}; {nearest(missing, table.columns)}"
        )
    if not isinstance(table.index, pd.RangeIndex):  # pandas would shift the columns
        raise ValueError(f"{file}: there are rows with more values than the {len(table.columns)} columns")
    cases, faults = [], []
    for number, row in enumerate(table.to_dict("records"), start=2):
        name = row["case"].strip() or f"row {number}"
        paths = tuple(file.parent / row[c] for c in images if row[c])
        for column in images:
            if not row[column]:
                what = f"column {column!r} is empty in row {number}"
                faults.append(Fault("error", name, str(file), what, "name the file or remove the row"))
        split = row.get("split") or None
        if split and split not in ("train", "val", "validation", "test"):
            what = f"split is {split!r} in row {number}"
            faults.append(Fault("error", name, str(file), what, "write train, val, test or nothing"))
        if paths:
            label = file.parent / row["label"] if row.get("label") else None
            cases.append(Case(name, paths, label, row.get("group") or None, split, row.get("domain") or None))
    names = tuple(c.removeprefix("image_") for c in images) if images != ["image"] else ()
    return read_description(Index(file.parent, tuple(cases), names, faults=tuple(faults)))


# ---------------------------------------------------------------------------- what holds for every layout


def _grouped(index: Index, pattern: str) -> Index:
    try:
        expression = re.compile(pattern)
    except re.error as e:
        raise ValueError(f"the group pattern {pattern!r} is no regular expression: {e}") from e
    found = {case.name: expression.search(case.name) for case in index.cases}
    missed = [name for name, match in found.items() if match is None and index[name].group is None]
    if missed:
        raise ValueError(f"the group pattern {pattern!r} does not match {_some(missed)}; it must match every case")
    group = lambda m: m.group(1) if m.re.groups else m.group(0)
    cases = tuple(
        replace(c, group=group(found[c.name])) if c.group is None and found[c.name] else c for c in index.cases
    )
    return replace(index, cases=cases)


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


def _orphan(label: Path, remedy: str) -> Fault:
    return Fault("error", stem(label), str(label), "is a label without an image", f"{remedy}, or remove it")


def _some(names: Iterable[str], count: int = 5) -> str:
    names = list(names)
    rest = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(repr(n) for n in names[:count]) + rest
