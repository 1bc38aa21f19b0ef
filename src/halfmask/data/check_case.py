"""What is wrong with one case: the faults that its own files show."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from halfmask.data.fingerprint import Fingerprint, fingerprint
from halfmask.data.formats import Note, read_noted
from halfmask.data.index import Case, Fault
from halfmask.data.volume import Grid

TOLERANCE = 0.1
"""Grids of one case may lie apart by this share of a voxel."""


@dataclass
class Finding:
    """What one case's files show; content and channels only if every image could be read.

    Attributes:
        notes: what was left out or taken for granted in reading a file.
    """

    faults: list[Fault] = field(default_factory=list)
    notes: list[tuple[Path, Note]] = field(default_factory=list)
    content: str = ""
    channels: int = 0
    fingerprint: Fingerprint | None = None


@dataclass(frozen=True)
class CaseReader:
    """Finds the faults of one case: a function of the case that pickles."""

    values: tuple[int, ...]
    ignore: int | None
    planned: frozenset[str] | None = None

    def __call__(self, case: Case) -> Finding:
        finding = Finding()
        try:
            image, grid = self._read_images(case, finding)
            label = self._read_label(case, case.label, grid, finding) if case.label is not None else None
            if image is not None and grid is not None and not any(f.severity == "error" for f in finding.faults):
                finding.fingerprint = fingerprint(
                    image, label, grid, self.ignore, planned=self.planned is None or case.name in self.planned
                )
        except Exception as e:  # whatever a file does, the check of the others goes on
            what = f"could not be checked ({type(e).__name__}: {e})"
            finding.faults.append(Fault("error", case.name, "", what, "open it in a viewer and export it anew"))
        return finding

    def _read_images(self, case: Case, finding: Finding) -> tuple[np.ndarray | None, Grid | None]:
        """All channels (C, *spatial), if their grids agree, and the first file's grid."""
        channels: list[np.ndarray] = []
        first: Grid | None = None
        digest = hashlib.blake2b(digest_size=16)
        for path in case.images:
            try:
                array, grid, notes = read_noted(path)
            except ValueError as e:
                finding.faults.append(_unreadable(case, path, e))
                continue
            finding.notes += [(path, note) for note in notes]
            digest.update(str((array.shape, array.dtype)).encode())
            digest.update(np.ascontiguousarray(array).data)
            if first is not None:
                finding.faults += grid_faults(case, path, grid, first, case.images[0])
            first = first or grid
            finding.faults += _voxel_faults(case, path, array)
            channels.append(array)
        if len(channels) == len(case.images):
            finding.content, finding.channels = digest.hexdigest(), sum(map(len, channels))
        return (np.concatenate(channels) if len({c.shape[1:] for c in channels}) == 1 else None), first

    def _read_label(self, case: Case, path: Path, grid: Grid | None, finding: Finding) -> np.ndarray | None:
        """The label (*spatial), and what is wrong with it into ``finding``."""
        error = lambda what, remedy: finding.faults.append(Fault("error", case.name, str(path), what, remedy))
        try:
            array, own, notes = read_noted(path, label=True)
        except ValueError as e:
            finding.faults.append(_unreadable(case, path, e))
            return None
        finding.notes += [(path, note) for note in notes if (path, note) not in finding.notes]
        if len(array) != 1:
            error(f"the label has {len(array)} channels, one is expected", "store class numbers in one channel")
            return None
        if grid is not None:
            finding.faults += grid_faults(case, path, own, grid, case.images[0])
        if path.suffix.lower() in (".jpg", ".jpeg"):
            what = "JPEG changes label values at edges"
            finding.faults.append(Fault("warning", case.name, str(path), what, "store labels as PNG"))
        values = np.unique(array)
        fractions = [float(v) for v in values if not np.isfinite(v) or v != np.round(v)]
        if fractions:
            error(f"label values are not whole numbers: {fractions[:4]}", "resample labels by nearest neighbor")
            return None
        whole = {int(v) for v in values}
        undeclared = sorted(whole - set(self.values) - {self.ignore})
        if self.values and undeclared:
            what = f"label values {undeclared[:8]} are not declared; declared are {list(self.values)}"
            error(what, "declare them in the data set's description")
        if not self.values and (negative := sorted(v for v in whole - {self.ignore} if v < 0)):
            what = f"label values {negative[:8]} are below 0 and count as classes"
            remedy = "if they mark what nobody annotated, give --ignore-value"
            finding.faults.append(Fault("warning", case.name, str(path), what, remedy))
        if whole <= {0, self.ignore}:
            what = "the label is empty"
            remedy = "make sure that nothing is there to be marked"
            finding.faults.append(Fault("warning", case.name, str(path), what, remedy))
        return array[0]


def grid_faults(case: Case, path: Path, grid: Grid, first: Grid, first_path: Path) -> Iterator[Fault]:
    """Whether two files of a case lie on one grid."""
    if grid.shape != first.shape:
        other = "the image in it" if path == first_path else first_path.name
        what = f"has shape {grid.shape}, {other} has {first.shape}"
        remedy = "were both resampled? bring them to one grid, heads by `halfmask brain`"
        yield Fault("error", case.name, str(path), what, remedy)
    elif (apart := grid.apart(first)) > TOLERANCE * min(first.spacing):
        what = (
            f"lies up to {apart:.2f} mm from {first_path.name} (spacing {_mm(grid.spacing)} and {_mm(first.spacing)})"
        )
        yield Fault("error", case.name, str(path), what, "the headers differ: correct the one that is wrong")


def _voxel_faults(case: Case, path: Path, array: np.ndarray) -> Iterator[Fault]:
    for number, channel in enumerate(array):
        place = f"channel {number} " if len(array) > 1 else ""
        if np.issubdtype(channel.dtype, np.floating) and (bad := int((~np.isfinite(channel)).sum())):
            what = f"{place}has {bad} voxels that are NaN or infinite"
            yield Fault("error", case.name, str(path), what, "replace them, e.g. by the background's value")
        elif channel.min() == channel.max():
            what = f"{place}is {channel.flat[0]} everywhere"
            yield Fault("warning", case.name, str(path), what, "an empty export? remove the case or the channel")


def _unreadable(case: Case, path: Path, error: ValueError) -> Fault:
    reason = str(error).removeprefix(f"{path} ")
    return Fault("error", case.name, str(path), reason, "copy or export it anew, or remove the case")


def _mm(spacing: tuple[float, ...]) -> str:
    return "×".join(f"{s:.3g}" for s in spacing)
