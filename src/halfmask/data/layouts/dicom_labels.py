"""Segmentation objects of a tree of DICOM files as labels of its series."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from halfmask.data.formats.dicom import segmentation
from halfmask.data.formats.dicom.header import Header
from halfmask.data.formats.dicom.series import Broken, Series
from halfmask.data.index import Case, Fault


@dataclass(frozen=True)
class _Drawn:
    """A segmentation object."""

    header: Header
    about: segmentation.About


def with_labels(
    root: Path, cases: Sequence[tuple[Case, tuple[Series, ...]]], headers: Sequence[Header]
) -> tuple[list[Case], dict[str, int], list[Fault]]:
    """The cases with the segmentations that refer to their series, and what the classes are called."""
    drawn, faults = _drawn(headers)
    every = {header.series for header in headers if header.kind == "image"}
    taken: dict[str, _Drawn] = {}
    labeled = []
    for case, series in cases:
        own = [d for d in drawn if any(_is_of(d.about, s) for s in series)]
        if len(own) > 1:
            files = ", ".join(d.header.path.name for d in own[:4])
            what = f"{len(own)} segmentations refer to it: {files}"
            faults.append(Fault("error", case.name, str(own[0].header.path), what, "keep the one that counts"))
        if own:
            taken[case.name] = own[0]
        labeled.append(replace(case, label=own[0].header.path) if own else case)
    used = {d.header.path for d in drawn if any(_is_of(d.about, s) for _, series in cases for s in series)}
    for each in drawn:
        if each.about.series not in every:
            what = "is a segmentation without the series that it was drawn on"
            faults.append(Fault("error", "", str(each.header.path), what, "add that series, or remove it"))
        elif each.header.path not in used:
            what = "is a segmentation of a series that is no case's image, and is left out"
            faults.append(
                Fault("warning", "", str(each.header.path), what, "choose that series by --channels, if it counts")
            )
    labels, more = _labels(root, taken)
    return labeled, labels, [*faults, *more]


def _drawn(headers: Sequence[Header]) -> tuple[list[_Drawn], list[Fault]]:
    found, faults = [], []
    for header in headers:
        if header.kind == "segmentation":
            try:
                found.append(_Drawn(header, segmentation.about(header.path)))
            except ValueError as e:
                faults.append(unreadable(Broken(header.path, str(e))))
    return found, faults


def _is_of(about: segmentation.About, series: Series) -> bool:
    """Whether a segmentation refers to a series; where that gives several volumes, to objects of this one."""
    if about.series != series.first.series:
        return False
    return not about.instances or not about.instances.isdisjoint(h.uid for h in series.headers)


def _labels(root: Path, taken: Mapping[str, _Drawn]) -> tuple[dict[str, int], list[Fault]]:
    """Class names to numbers, the same in all segmentations."""
    numbers: dict[str, dict[int, str]] = defaultdict(dict)
    names: dict[int, dict[str, str]] = defaultdict(dict)
    for case, drawn in taken.items():
        for number, name in drawn.about.names.items():
            shown = drawn.header.patient.hide(name) or f"class {number}"
            numbers[shown].setdefault(number, case)
            names[number].setdefault(shown, case)
    faults = []
    error = lambda what: Fault("error", "", str(root), what, "number the segments alike in all segmentations")
    for name, found in numbers.items():
        if len(found) > 1:
            told = ", ".join(f"{number} in case {case!r}" for number, case in sorted(found.items()))
            faults.append(error(f"the segment {name!r} has different numbers: {told}"))
    for number, called in sorted(names.items()):
        if len(called) > 1 and not any(len(numbers[name]) > 1 for name in called):
            told = ", ".join(f"{name!r} in case {case!r}" for name, case in sorted(called.items()))
            faults.append(error(f"segment {number} is called differently: {told}"))
    if "background" in numbers:
        what = "a segment is called 'background', as all that is in no segment is"
        faults.append(Fault("error", "", str(root), what, "rename it, or leave it out"))
    if not numbers:
        return {}, faults
    found_labels = {name: min(found) for name, found in numbers.items()}
    ordered = dict(sorted(found_labels.items(), key=lambda item: item[1]))
    return {"background": 0} | ordered, faults


def unreadable(broken: Broken) -> Fault:
    return Fault(
        "error", "", str(broken.path), f"cannot be read: {broken.reason}", "copy or export it anew, or remove it"
    )
