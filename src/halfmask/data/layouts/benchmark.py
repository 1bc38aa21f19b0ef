"""h5 files: with lists of names, as the public semi-supervised benchmarks have them, or loose in a folder.

SSL4MIS has train.list, val.list and test.list (train.txt, … for BraTS 2019) beside data/NAME.h5, and for the slices of
ACDC train_slices.list beside data/slices/NAME_slice_K.h5; UA-MT (left atrium) has train.list and test.list beside
SUBFOLDER/NAME/mri_norm2.h5. The public code takes the first cases of the training list as labeled, whatever the seed.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from halfmask.data.description import read_description
from halfmask.data.formats import HDF5, own_label, stem, suffix
from halfmask.data.index import Case, Fault, Index
from halfmask.data.layouts.channels import as_cases, gather, image_files

PARTS = ("train", "val", "test")

_ACDC = re.compile(r"^(?P<patient>patient\d+)_frame\d+(_slice_\d+)?$")


def is_listed(root: Path) -> bool:
    return _list(root, "train") is not None


def is_loose(root: Path) -> bool:
    """Whether all image files in a folder are h5 files."""
    return root.is_dir() and {suffix(p) in HDF5 for p in image_files(root)} == {True}


def read_loose(root: Path, *, grouped: bool) -> Index:
    """NAME.h5, each with its own label or without; see `read`."""
    images, faults = gather(image_files(root), numbered=False)
    cases, _ = as_cases(images, {}, root)
    return read_description(Index(root, _by_patient(cases) if grouped else tuple(cases), faults=tuple(faults)))


def read(root: Path, *, grouped: bool) -> Index:
    """The cases that the lists name, in their order and each with the split of its list.

    Volumes where train.list names them; where there is train_slices.list alone, slices in the other splits too.

    Args:
        grouped: take for groups the patients of ACDC, called patient001_frame01 or patient001_frame01_slice_0.
    """
    folders = [root / "data" / "slices", root / "data", root, *sorted(p for p in root.iterdir() if p.is_dir())]
    sliced = not any((root / name).is_file() for name in ("train.list", "train.txt"))
    cases: list[Case] = []
    faults: list[Fault] = []
    places: dict[str, str] = {}
    for part in PARTS:
        for file, number, name in _lines(_list(root, part)):
            place = f"{file.name}, line {number}"
            if name in places:
                what = f"{place} names it again, after {places[name]}"
                faults.append(Fault("error", name, str(file), what, "name each case once, in one list"))
                continue
            places[name] = place
            found = _slices(folders[0], name) if sliced else {}
            found = found or _volume(folders, name)
            if not found:
                what = f"{place}: there is neither {name}.h5 nor {name}/mri_norm2.h5 in {root} or a folder in it"
                faults.append(Fault("error", name, str(file), what, "add the file or remove the line"))
            cases += [Case(case, (image,), own_label(image), split=part) for case, image in found.items()]
    listed = _by_patient(cases) if grouped else tuple(cases)
    return read_description(Index(root, listed, ordered=True, faults=tuple(faults)))


def _by_patient(cases: list[Case]) -> tuple[Case, ...]:
    """Both frames of a patient, and all their slices, in one group."""
    return tuple(replace(c, group=match["patient"]) if (match := _ACDC.match(c.name)) else c for c in cases)


def _list(root: Path, part: str) -> Path | None:
    """The list of volumes, if there is none that of slices."""
    names = (f"{part}.list", f"{part}.txt", f"{part}_slices.list")
    return next((root / name for name in names if (root / name).is_file()), None)


def _lines(file: Path | None) -> Iterator[tuple[Path, int, str]]:
    """The list, line numbers from 1 and names; what follows a comma, and how the file ends, is no part of a name."""
    if file is not None:
        for number, line in enumerate(file.read_text(encoding="utf-8-sig", errors="replace").splitlines(), start=1):
            if name := re.sub(r"(/mri_norm2)?(\.h5)?$", "", line.split(",")[0].strip()):
                yield file, number, name


def _volume(folders: list[Path], name: str) -> dict[str, Path]:
    """Case name to file, the first that is there."""
    files = (f / n for f in folders for n in (f"{name}.h5", f"{name}/mri_norm2.h5"))
    return next(({Path(name).name: file} for file in files if file.is_file()), {})


def _slices(folder: Path, name: str) -> dict[str, Path]:
    """Case name to file of the slices of a volume."""
    return {stem(file): file for file in sorted(folder.glob(f"{glob.escape(name)}_slice_*.h5"))}
