"""The DICOM files of a folder, sorted into series, and these into volumes."""

from __future__ import annotations

import functools
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from halfmask.data.formats.dicom.header import Header, Told, read_header

KEPT = 50_000
"""So many headers are kept by each process, in some 100 MB, and of a larger tree each is read anew."""
FEW = 11
"""A plane of a scout has no more slices than this."""

_SCOUT = re.compile(r"locali[sz]er|scout|survey|topogram", re.IGNORECASE)


@dataclass(frozen=True)
class Series:
    """The files of one volume: a DICOM series, or the part of it that has one orientation, echo and time point.

    Attributes:
        headers: in the order of the files' names.
        part: from 1 where its DICOM series gives several volumes, else 0.
        scout: a localizer, for planning other scans.
    """

    headers: tuple[Header, ...]
    part: int = 0
    scout: bool = False

    @property
    def first(self) -> Header:
        return self.headers[0]


@dataclass(frozen=True)
class Broken:
    """A DICOM file whose header cannot be read, and why."""

    path: Path
    reason: str


def headers_in(folder: Path) -> tuple[Header | Broken, ...]:
    """Of all DICOM files that lie in a folder, in the order of their names; kept until any of them changes."""
    return _headers_in(folder, _state(folder))


def header_of(path: Path) -> Header | Broken | None:
    """`read_header`, or why it cannot be read; kept until the file changes."""
    try:
        stat = path.stat()
    except OSError:  # a link to nowhere
        return None
    return _header_of(path, stat.st_size, stat.st_mtime_ns)


def series_in(folder: Path) -> tuple[Series, ...]:
    """The volumes whose files lie in a folder."""
    return _series_in(folder, _state(folder))


def series_of(path: Path) -> Series:
    """The volume that a file belongs to, from the files of its folder.

    Raises:
        ValueError: it is no image; the text does not name the file.
    """
    header = header_of(path)
    if isinstance(header, Broken):
        raise Told(header.reason)
    if header is None:
        raise Told("it is no DICOM file" if path.is_file() else "there is no such file")
    if header.kind != "image":
        raise Told(f"it is no slice of a volume: {header.kind}")
    own = next((s for s in series_in(path.parent) if any(h.path.name == path.name for h in s.headers)), None)
    return own or Series((header,))  # a hidden file


def grouped(headers: Iterable[Header]) -> list[Series]:
    """The image volumes among the files of any folders, in the order of their first files."""
    by_uid: dict[str, list[Header]] = {}
    for header in headers:
        if header.kind == "image":
            by_uid.setdefault(header.series, []).append(header)
    found = []
    for members in by_uid.values():
        planes = _planes([h for h in members if not h.multi])
        scout = _is_scout(members, planes)
        parts = [part for plane in planes for part in _volumes(plane)] + [[h] for h in members if h.multi]
        parts = [sorted(part, key=lambda h: h.path) for part in parts]
        parts.sort(key=lambda part: part[0].path)
        found += [Series(tuple(p), n if len(parts) > 1 else 0, scout) for n, p in enumerate(parts, start=1)]
    return sorted(found, key=lambda series: series.first.path)


def _planes(headers: Sequence[Header]) -> list[list[Header]]:
    """By size, orientation and spacing, which rounding may change a little from slice to slice."""
    planes: list[list[Header]] = []
    for header in headers:
        fitting = next((plane for plane in planes if _alike(plane[0], header)), None)
        if fitting is None:
            planes.append([header])
        else:
            fitting.append(header)
    return planes


def _alike(one: Header, other: Header) -> bool:
    near = lambda a, b, share: (
        a == b or (a is not None and b is not None and all(abs(x - y) <= share for x, y in zip(a, b, strict=True)))
    )
    size = (one.rows, one.columns) == (other.rows, other.columns)
    return size and near(one.orientation, other.orientation, 2e-3) and near(one.spacing, other.spacing, 1e-3)


def _volumes(plane: list[Header]) -> list[list[Header]]:
    """A stack whose positions come again is several volumes, told apart by what parts it into stacks as high."""
    again, places = _repeats(plane)
    if again < 2 or any(header.position is None for header in plane):
        return [plane]
    for n in range(len(plane[0].volume)):
        parts: dict[str, list[Header]] = {}
        for header in plane:
            parts.setdefault(header.volume[n], []).append(header)
        found = [_repeats(part) for part in parts.values()]
        if len(parts) > 1 and all(times < again and 2 * own >= places for times, own in found):
            return [volume for part in parts.values() for volume in _volumes(part)]
    return [plane]


def _repeats(headers: Sequence[Header]) -> tuple[int, int]:
    """How often one position comes at most, copies of one object counted once, and how many positions there are."""
    objects = {h.uid or str(h.path): h for h in headers}.values()
    counts = Counter(tuple(round(p, 3) for p in h.position or ()) for h in objects)
    return max(counts.values(), default=0), len(counts)


def _is_scout(members: Sequence[Header], planes: Sequence[Sequence[Header]]) -> bool:
    """It says so, or it has few slices in three planes."""
    few = all(len(plane) <= FEW for plane in planes)
    said = bool(_SCOUT.search(f"{members[0].description} {members[0].protocol}")) and few and len(members) <= 3 * FEW
    ways = [plane for plane in planes if plane[0].orientation is not None]
    return said or (few and len(ways) >= 3)


def files_under(root: Path) -> Iterator[list[Path]]:
    """The files of each folder under a root, hidden ones left out; a folder is entered once, however many links."""
    seen: set[str] = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        if (real := os.path.realpath(folder)) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if name[0] != ".")
        if files := sorted(Path(folder) / name for name in names if name[0] != "."):
            yield files


def _state(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """What changes with the files of a folder."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name[0] != "." and entry.is_file():
                stat = entry.stat()
                found.append((entry.name, stat.st_size, stat.st_mtime_ns))
    return tuple(sorted(found))


@functools.lru_cache(maxsize=32)
def _headers_in(folder: Path, state: tuple[tuple[str, int, int], ...]) -> tuple[Header | Broken, ...]:
    found: list[Header | Broken] = []
    for name, size, changed in state:
        if size > 131 and (header := _header_of(folder / name, size, changed)) is not None:
            found.append(header)
    return tuple(found)


@functools.lru_cache(maxsize=KEPT)
def _header_of(path: Path, size: int, changed: int) -> Header | Broken | None:
    try:
        return read_header(path)
    except ValueError as e:
        return Broken(path, str(e))


@functools.lru_cache(maxsize=32)
def _series_in(folder: Path, state: tuple[tuple[str, int, int], ...]) -> tuple[Series, ...]:
    return tuple(grouped(h for h in _headers_in(folder, state) if isinstance(h, Header)))
