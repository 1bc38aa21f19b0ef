"""A tree of DICOM files, in folders of any depth: studies of patients, told by what the headers say.

Nothing of a patient is taken over but digests: the names of cases and groups.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from halfmask.data.formats import suffix
from halfmask.data.formats.dicom.header import Header, is_dicom
from halfmask.data.formats.dicom.patient import digest
from halfmask.data.formats.dicom.series import Broken, Series, files_under, grouped, header_of, series_of
from halfmask.data.formats.names import DICOM
from halfmask.data.index import Case, Fault, Index
from halfmask.data.layouts.dicom_labels import unreadable, with_labels
from halfmask.data.layouts.dicom_privacy import told_by_number, told_by_path
from halfmask.progress import Progress

STRANGE = "it is no DICOM file, or one without the preamble (128 bytes and DICM), which is not supported"
MANY = 2000
"""Of so many files on, reading their headers shows its progress."""


def is_tree(root: Path) -> bool:
    """Whether a folder holds DICOM files, in folders of any depth, that are not all segmentation objects.

    Raises:
        OSError: it cannot be looked into.
    """
    return any(_is_more(path) for files in files_under(root) for path in files if _may_be(path))


def told_strange(root: Path) -> str:
    """Why a folder with files called as DICOM files are is no tree of them; empty for a folder without."""
    found = next((p for files in files_under(root) for p in files if _is_strange(p)), None)
    return "" if found is None else f"; of {found}: {STRANGE}"


def read(root: Path, channels: Mapping[str, str] | None = None, *, labeled: bool = True) -> Index:
    """A case for each image series; or with channels one for each study, of those series that their patterns find.

    Segmentation objects are the labels of the series that they refer to.

    Args:
        channels: name → regular expression, looked for in the series' description, or if that has none of them in its
            protocol's name.
    """
    headers, broken = _headers(root)
    if hidden := told_by_path(root, headers):
        return Index(root, (), faults=(hidden,))
    return _index(root, headers, broken, channels, labeled=labeled)


def read_one(path: Path) -> Index:
    """The case of one file: of the series that it belongs to, from the files of its folder.

    Raises:
        ValueError: it is no image.
    """
    try:
        series = series_of(path)
    except ValueError as e:
        raise ValueError(f"{path} cannot be read: {e}") from None
    if hidden := told_by_path(path.parent, series.headers):
        return Index(path.parent, (), faults=(hidden,))
    return _index(path.parent, list(series.headers), [], None, labeled=False)


def _headers(root: Path) -> tuple[list[Header], list[Broken]]:
    files = [path for folder in files_under(root) for path in folder if _may_be(path)]
    headers: list[Header] = []
    broken: list[Broken] = []
    with Progress("headers", len(files)) if len(files) >= MANY else nullcontext() as progress:
        for path in files:
            found = header_of(path)
            if isinstance(found, Header):
                headers.append(found)
            elif found is not None:
                broken.append(found)
            elif _is_strange(path):
                broken.append(Broken(path, STRANGE))
            if progress is not None:
                progress.advance()
    return headers, broken


def _may_be(path: Path) -> bool:
    return suffix(path) in ("", *DICOM)


def _is_strange(path: Path) -> bool:
    """Whether it is called as DICOM files are, and is none: its slice would be missing, and nobody would know."""
    return suffix(path) in DICOM and not is_dicom(path)


def _is_more(path: Path) -> bool:
    header = header_of(path)
    return header is not None and not (isinstance(header, Header) and header.kind == "segmentation")


def _index(
    root: Path,
    headers: Sequence[Header],
    broken: Sequence[Broken],
    channels: Mapping[str, str] | None,
    *,
    labeled: bool,
) -> Index:
    faults = list(_unreadable(broken))
    whole, spread = _in_one_folder(root, headers)
    faults += spread
    found = [s for s in grouped(whole) if not s.scout]
    faults += _left_out(root, headers, found)
    faults += told_by_number(root, headers)
    studies: dict[str, list[Series]] = defaultdict(list)
    for series in found:
        studies[f"{series.first.patient.group} {series.first.study}"].append(series)
    cases: list[tuple[Case, tuple[Series, ...]]] = []
    for members in studies.values():
        if channels is None:
            cases += [(case, (one,)) for case, one in zip(_named(members), members, strict=True)]
        else:
            chosen, missed = _chosen(root, members, channels)
            faults += missed
            cases += [(case, chosen) for case in _named([chosen[0]] if chosen else [])]
    cases = [(replace(case, images=tuple(s.first.path for s in series)), series) for case, series in cases]
    if not labeled:
        return Index(root, tuple(case for case, _ in cases), tuple(channels or ()), faults=tuple(faults))
    drawn, labels, more = with_labels(root, cases, headers)
    return Index(root, tuple(drawn), tuple(channels or ()), labels, faults=(*faults, *more))


def _unreadable(broken: Sequence[Broken]) -> Iterator[Fault]:
    """One fault for all files of a folder with which the same is wrong."""
    alike: dict[tuple[Path, str], list[Broken]] = defaultdict(list)
    for each in broken:
        alike[each.path.parent, each.reason].append(each)
    for (_, reason), found in alike.items():
        more = f" (and {len(found) - 1} more files in this folder)" if len(found) > 1 else ""
        yield unreadable(Broken(found[0].path, reason + more))


def _in_one_folder(root: Path, headers: Sequence[Header]) -> tuple[list[Header], list[Fault]]:
    """The headers of all series that lie in one folder, each, and what is wrong with the others."""
    folders: dict[str, dict[Path, list[Header]]] = defaultdict(lambda: defaultdict(list))
    for header in headers:
        if header.kind == "image":
            folders[header.series][header.path.parent].append(header)
    whole, faults = [], []
    for places in folders.values():
        members = [h for found in places.values() for h in found]
        if len(places) == 1 or all(h.multi for h in members):
            whole += members
            continue
        names = [str(p.relative_to(root)) for p in places]
        uids = [{h.uid for h in found} for found in places.values()]
        some = f"{', '.join(names[:3])}{', …' if len(names) > 3 else ''}"
        if set.intersection(*uids):
            what, remedy = f"the same series lies in {len(names)} folders: {some}", "keep one of them"
        else:
            what, remedy = f"one series is spread over {len(names)} folders: {some}", "bring its files into one folder"
        faults.append(Fault("error", "", str(members[0].path), what, remedy))
    return whole, faults


def _left_out(root: Path, headers: Sequence[Header], taken: Sequence[Series]) -> Iterator[Fault]:
    """One warning that counts the series that are no images of a volume."""
    images = {h.series for s in taken for h in s.headers}
    kinds: dict[str, str] = {}
    for header in headers:
        if header.kind not in ("image", "segmentation") and header.series not in images:
            kinds[header.series] = header.kind
    scouts = {s.first.series for s in grouped(headers) if s.scout}
    kinds |= dict.fromkeys(scouts, "localizer")
    if kinds:
        told = ", ".join(
            f"{count} {kind}{'s' * (count > 1)}" for kind, count in sorted(Counter(kinds.values()).items())
        )
        what = f"{len(kinds)} series are left out: {told}"
        yield Fault("warning", "", str(root), what, "nothing, if these are not what is to be learned from")


def _named(members: Sequence[Series]) -> list[Case]:
    """Cases of one study, one for each series, named by digests and where there are several by the series' numbers."""
    first = members[0].first if members else None
    if first is None:
        return []
    group = first.patient.group if first.patient.known else f"patient-{digest(first.study, 8)}"
    study = f"{group}-{digest(first.study, 6)}"
    if len(members) == 1:
        return [Case(study, (), group=group)]
    numbered: dict[int, set[str]] = defaultdict(set)
    for series in members:
        numbered[series.first.number].add(series.first.series)
    names = []
    for series in members:
        number, uid = series.first.number, series.first.series
        alike = f"-{digest(uid, 4)}" if len(numbered[number]) > 1 else ""  # two series of one number
        names.append(f"{study}-{number}{alike}" + (f"-{series.part}" if series.part else ""))
    return [Case(name, (), group=group) for name in names]


def _chosen(
    root: Path, members: Sequence[Series], channels: Mapping[str, str]
) -> tuple[tuple[Series, ...], list[Fault]]:
    """The one series of a study for each channel; else nothing, and a fault for each channel with none or several."""
    faults, chosen = [], []
    name = _named(members[:1])[0].name
    for channel, pattern in channels.items():
        expression = re.compile(pattern, re.IGNORECASE)
        found = [s for s in members if expression.search(s.first.description)]
        found = found or [s for s in members if expression.search(s.first.protocol)]
        if len(found) == 1:
            chosen.append(found[0])
            continue
        shown = sorted({_described(s) for s in (found or members)})
        if found:
            what = f"{len(found)} series fit channel {channel} ({pattern!r}): {', '.join(shown)}"
            remedy = f"make the pattern narrower by --channels {channel}=…, or remove the study"
        else:
            what = f"no series fits channel {channel} ({pattern!r}); there are {', '.join(shown)}"
            remedy = f"the study is left out; widen the pattern by --channels {channel}=… if it should not be"
        faults.append(Fault("error" if found else "warning", name, str(members[0].first.path.parent), what, remedy))
    return (tuple(chosen) if not faults else ()), faults


def _described(series: Series) -> str:
    """As it may be shown: without the patient's name."""
    first = series.first
    told = first.description or first.protocol
    part = f", part {series.part}" if series.part else ""
    return f"{first.patient.hide(told)!r}{part}" if told else f"series {first.number} without a description{part}"
