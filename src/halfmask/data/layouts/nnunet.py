"""nnU-Net raw, second version: imagesTr/CASE_0000.ext, labelsTr/CASE.ext, imagesTs, and dataset.json without a list.

https://github.com/MIC-DKFZ/nnUNet/blob/master/documentation/dataset_format.md
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from halfmask.data.description import described
from halfmask.data.formats import SUFFIXES, stem
from halfmask.data.index import Case, Fault, Index
from halfmask.data.layouts.channels import CHANNEL, as_cases, gather, image_files, orphan


def read(file: Path, about: dict[str, Any]) -> Index:
    """ "channel_names", "labels" (with "ignore" and regions), "file_ending", and maybe "dataset", a mapping of cases.

    A training image without a label is unlabeled; test images may have labels in labelsTs/.
    """
    root, ending = file.parent, about.get("file_ending") or ""
    if not isinstance(ending, str) or (ending and ending.lower() not in SUFFIXES):
        raise ValueError(f"{file}: file_ending must be one of {', '.join(SUFFIXES)}, got {ending!r}")
    if "dataset" in about:
        cases, faults = _mapped(file, about["dataset"])
    else:
        cases, faults = _part(root, "Tr", ending, None)
    tested, more = _part(root, "Ts", ending, "test")
    faults += [*more, *_miscounted(file, about, cases)]
    return described(Index(root, (*cases, *tested), faults=tuple(faults)), about, file)


def _part(root: Path, part: str, ending: str, split: str | None) -> tuple[list[Case], list[Fault]]:
    folder = root / f"images{part}"
    files = image_files(folder, ending)
    faults = []
    if others := len(image_files(folder)) - len(files):
        what = f"{others} image files do not end in {ending!r} and are left out"
        faults.append(Fault("warning", "", str(folder), what, "remove them, or correct file_ending in dataset.json"))
    for file in files:
        if not CHANNEL.match(stem(file)):
            remedy = f"call the first channel {stem(file)}_0000 followed by its ending"
            faults.append(Fault("error", stem(file), str(file), "has no channel number", remedy))
    images, same = gather(files, numbered=True)
    labels = {stem(p): p for p in image_files(root / f"labels{part}", ending)}
    cases, gaps = as_cases(images, labels, folder, split)
    return cases, [*faults, *same, *gaps, *(orphan(p, f"add its image to {folder}") for p in labels.values())]


def _mapped(file: Path, given: Any) -> tuple[list[Case], list[Fault]]:
    """ "dataset": {case: {"images": [path, …], "label": path}}, paths from the folder of dataset.json."""
    if not isinstance(given, dict):
        raise ValueError(f"{file}: expected a mapping of cases under 'dataset', got {given!r}")
    cases, faults = [], []
    for name, entry in given.items():
        images = entry.get("images") if isinstance(entry, dict) else None
        label = (entry.get("label") or "") if isinstance(entry, dict) else None
        if not (isinstance(images, list) and images and all(isinstance(p, str) for p in (*images, label))):
            what = f"'dataset' maps it to {entry!r}"
            faults.append(Fault("error", name, str(file), what, 'write {"images": [path, …], "label": path}'))
            continue
        paths = tuple(file.parent / p for p in images)
        cases.append(Case(name, paths, file.parent / label if label else None))
    return cases, faults


def _miscounted(file: Path, about: dict[str, Any], cases: list[Case]) -> list[Fault]:
    """numTraining counts the labeled cases, or all of imagesTr."""
    told, labeled = about.get("numTraining"), sum(case.label is not None for case in cases)
    if told in (None, labeled, len(cases)):
        return []
    what = f"numTraining is {told!r}, {len(cases)} training cases lie there, {labeled} of them with a label"
    return [Fault("warning", "", str(file), what, "make sure that the copy is whole, and correct the number")]
