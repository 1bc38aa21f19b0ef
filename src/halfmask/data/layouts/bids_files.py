"""Files of a BIDS data set: sub-X[/ses-Y]/anat/sub-X[_ses-Y][_ENTITY-VALUE]*_SUFFIX.nii.gz."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from halfmask.data.formats import stem, suffix
from halfmask.data.formats.names import NIFTI
from halfmask.data.layouts.channels import image_files

_ENTITIES = re.compile(r"([a-zA-Z]+-[a-zA-Z0-9+]+_)*[a-zA-Z0-9]+")


@dataclass(frozen=True)
class Session:
    """A subject's session, or the subject where there are no sessions.

    Attributes:
        folder: with its scans, from the root of a data set or of its derivatives.
    """

    subject: str
    name: str
    folder: Path


@dataclass(frozen=True)
class File:
    """An image file.

    Attributes:
        text: its name without subject, session and ending: acq-mprage_T1w.
    """

    path: Path
    text: str

    @property
    def suffix(self) -> str:
        return self.text.rpartition("_")[2]

    @property
    def entities(self) -> dict[str, str]:
        return {key: value for part in self.text.split("_") for key, dash, value in [part.partition("-")] if dash}

    @property
    def conforms(self) -> bool:
        return _ENTITIES.fullmatch(self.text) is not None


def sessions(root: Path) -> Iterator[Session]:
    """Those with a folder anat; what else lies there is left alone."""
    for subject in sorted(root.glob("sub-*")):
        for folder in [subject, *sorted(subject.glob("ses-*"))]:
            if (folder / "anat").is_dir():
                name = subject.name if folder == subject else f"{subject.name}_{folder.name}"
                yield Session(subject.name, name, (folder / "anat").relative_to(root))


def files(root: Path, session: Session) -> tuple[list[File], list[Path]]:
    """The NIfTI files of a session, and those that are not called after it."""
    paths = [p for p in image_files(root / session.folder) if suffix(p) in NIFTI]
    start = f"{session.name}_"
    named = [File(p, stem(p).removeprefix(start)) for p in paths if p.name.startswith(start)]
    return named, [p for p in paths if not p.name.startswith(start)]


def is_fetched(path: Path) -> bool:
    """False for a file of git-annex whose content is not here: a link to nowhere, or a few bytes that name it."""
    if not path.exists():
        return not path.is_symlink()
    if path.stat().st_size > 1000:
        return True
    return not path.read_bytes().startswith((b"/annex/objects/", b"version https://git-lfs"))
