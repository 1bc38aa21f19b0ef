"""dataset.json with a list of cases: Medical Segmentation Decathlon and nnU-Net's first version."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from halfmask.data.description import described
from halfmask.data.formats import stem
from halfmask.data.index import Case, Fault, Index
from halfmask.data.layouts.channels import Channels, gather, image_files, missing, orphan


def read_about(file: Path) -> dict[str, Any]:
    """The content of dataset.json, an object."""
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as e:
        raise ValueError(f"{file} is no valid JSON: {e}") from e
    if not isinstance(about, dict):
        raise ValueError(f"{file}: expected an object with a list 'training', got {about!r}")
    return about


def read(file: Path, about: dict[str, Any]) -> Index:
    """ "training" with image and label (or without), "unlabeled", "test", "labels", "modality".

    Where CASE.ext is listed and CASE_0000.ext, … lie there, as in nnU-Net's first version, these are its channels.
    """
    root = file.parent
    cases, faults, listed = [], [], set()
    channels: dict[Path, Channels] = {}
    on_disk = functools.cache(lambda folder: gather(image_files(folder), numbered=True)[0])
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
            image, label = root / entry["image"], root / entry["label"] if entry.get("label") else None
            listed |= {image.resolve(), label and label.resolve()}
            images: tuple[Path, ...] = (image,)
            if not image.exists() and (found := on_disk(image.parent).get(stem(image))):
                images = tuple(found[c] for c in sorted(found))
                channels.setdefault(image.parent, {})[stem(image)] = found
            cases.append(Case(stem(image), images, label, split=split, domain=entry.get("domain")))
    for folder, found_there in channels.items():
        faults += missing(found_there, folder)
    for folder in (root / "labelsTr", root / "labels"):
        faults += [orphan(p, f"list its image under 'training' in {file.name}")
                   for p in image_files(folder) if p.resolve() not in listed]  # fmt: skip
    return described(Index(root, tuple(cases), faults=tuple(faults)), about, file)
