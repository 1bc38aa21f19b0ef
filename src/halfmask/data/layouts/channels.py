"""Files of images in a folder, with one file a case or one a channel: CASE_0000.ext, CASE_0001.ext, …"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from halfmask.data.formats import own_label, stem, suffix
from halfmask.data.index import Case, Fault

CHANNEL = re.compile(r"^(?P<case>.+)_(?P<channel>\d{4})$")

Channels = dict[str, dict[int, Path]]
"""Case name to channel number to file."""


def image_files(folder: Path, ending: str = "") -> list[Path]:
    """The image files in a folder, hidden ones left out; of one ending only if it is given."""
    files = folder.iterdir() if folder.is_dir() else ()
    return sorted(p for p in files if suffix(p) and p.name[0] != "." and p.name.endswith(ending))


def gather(files: Iterable[Path], *, numbered: bool) -> tuple[Channels, list[Fault]]:
    """The files by case and channel; two files of one name are a fault.

    Args:
        numbered: CASE_0001 is the second channel of CASE; else every file is a case of its own.
    """
    images: Channels = defaultdict(dict)
    faults = []
    for file in files:
        found = CHANNEL.match(stem(file)) if numbered else None
        case, channel = (found["case"], int(found["channel"])) if found else (stem(file), 0)
        if channel in images[case]:
            what = f"is the same image as {images[case][channel].name} by its name"
            faults.append(Fault("error", case, str(file), what, "keep one of them"))
        images[case][channel] = file
    return dict(images), faults


def as_cases(
    images: Channels, labels: dict[str, Path], where: Path, split: str | None = None
) -> tuple[list[Case], list[Fault]]:
    """A case for each name, with its label or the one that its own file holds; labels used are taken out.

    Each channel that a case has not and another has is a fault.
    """
    cases, faults = [], missing(images, where)
    for name, channels in images.items():
        paths = tuple(channels[c] for c in sorted(channels))
        cases.append(Case(name, paths, labels.pop(name, None) or own_label(paths[0]), split=split))
    return cases, faults


def missing(images: Channels, where: Path) -> list[Fault]:
    """The channels that a case has not and another has."""
    count = 1 + max((max(found) for found in images.values()), default=0)
    return [
        Fault(
            "error",
            name,
            str(where),
            f"channel {channel:04d} is missing; other cases have {count} channels",
            "add the file or remove the case",
        )
        for name, found in images.items()
        for channel in sorted(set(range(count)) - set(found))
    ]


def orphan(label: Path, remedy: str) -> Fault:
    """A label without an image."""
    return Fault("error", stem(label), str(label), "is a label without an image", f"{remedy}, or remove it")
