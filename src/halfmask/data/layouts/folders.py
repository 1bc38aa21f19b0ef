"""A folder with images/ and labels/, or one of images alone."""

from __future__ import annotations

from pathlib import Path

from halfmask.data.description import read_description
from halfmask.data.formats import stem
from halfmask.data.index import Index
from halfmask.data.layouts.channels import CHANNEL, as_cases, gather, image_files, orphan


def read(root: Path) -> Index:
    """images/ and labels/, the label with the name of its case."""
    folder = root / "images"
    labels = {stem(p): p for p in image_files(root / "labels")}
    files = image_files(folder)
    names = [stem(p) for p in files]
    images, faults = gather(files, numbered=_numbered(names) and not set(names) & set(labels))
    cases, gaps = as_cases(images, labels, folder)
    faults += [*gaps, *(orphan(label, f"add its image to {folder}") for label in labels.values())]
    return read_description(Index(root, tuple(cases), faults=tuple(faults)))


def read_images(folder: Path, *, channels: int) -> Index:
    """A folder of images alone, for a model of so many channels."""
    files = image_files(folder)
    names = [stem(p) for p in files]
    images, faults = gather(files, numbered=_numbered(names) and (channels > 1 or _all_first(names)))
    cases, gaps = as_cases(images, {}, folder)
    return Index(folder, tuple(cases), faults=(*faults, *gaps))


def _numbered(names: list[str]) -> bool:
    """Whether four digits at the end number channels: all have them, and there is a 0000; else they number cases."""
    return all(map(CHANNEL.match, names)) and any(n.endswith("_0000") for n in names)


def _all_first(names: list[str]) -> bool:
    return all(n.endswith("_0000") for n in names)
