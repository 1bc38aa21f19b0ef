"""BIDS: anatomical scans by subject and session, masks among the derivatives.

https://bids-specification.readthedocs.io, "Magnetic Resonance Imaging" and "Imaging data types" of derivatives.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from halfmask.data.description import read_description
from halfmask.data.index import Case, Fault, Index
from halfmask.data.layouts import bids_labels
from halfmask.data.layouts.bids_files import File, Session, files, is_fetched, sessions
from halfmask.data.layouts.bids_tables import read_domains

NO_SCANS = {*bids_labels.SUFFIXES, "probseg", "defacemask"}


def is_bids(root: Path) -> bool:
    return (root / "dataset_description.json").is_file() or next(sessions(root), None) is not None


def read(
    root: Path, *, channels: Mapping[str, str] | None = None, label: str | None = None, labeled: bool = True
) -> Index:
    """A case for each session with anatomical scans, called sub-X_ses-Y or sub-X; its group is the subject.

    Args:
        channels: name to a regular expression, searched in what follows subject and session in a file's name
            (acq-mprage_T1w). Without it the suffixes of the scans (T1w, FLAIR), which all sessions must have.
        label: a regular expression, searched in the path of a mask without its subject (derivatives/manual/
            label-lesion_mask). Without it there must be one kind of masks; those of the brain do not count.
    """
    found = list(sessions(root))
    scans, faults = _scans(root, found)
    wanted = channels if channels is not None else _suffixes(root, scans, faults)
    masks, told = bids_labels.find_labels(root, found, label) if labeled else ({}, [])
    names, mistold = bids_labels.label_names([m for some in masks.values() for m in some])
    domains, missing = read_domains(root, {s.subject for s in found})
    faults += [*told, *mistold, *missing]
    cases = []
    for session in found:
        images = _images(root, session, scans[session.name], wanted, given=channels is not None, faults=faults)
        own = masks.get(session.name, [])
        if len(own) > 1:
            faults.append(_several(session, "the label", [m.text(root) for m in own], "--label '^{}$'"))
        if images:
            mask = own[0].file.path if len(own) == 1 else None
            cases.append(Case(session.name, images, mask, group=session.subject, domain=domains.get(session.subject)))
    here, absent = _fetched(root, cases)
    index = read_description(Index(root, tuple(here), tuple(wanted), faults=(*faults, *absent)))
    return index if index.labels else replace(index, labels=names)


def _scans(root: Path, found: Sequence[Session]) -> tuple[dict[str, list[File]], list[Fault]]:
    """Case name to its scans, without masks."""
    scans, faults = {}, []
    for session in found:
        named, strange = files(root, session)
        scans[session.name] = [f for f in named if f.suffix not in NO_SCANS]
        if strange:
            what = f"its name does not begin with {session.name}_, as its folder says"
            faults.append(Fault("error", session.name, str(strange[0]), what, "rename it or move it"))
    if empty := [name for name, some in scans.items() if not some]:
        what = f"{len(empty)} sessions have no scans in anat, {empty[0]} the first"
        faults.append(Fault("warning", "", str(root), what, "make sure that the copy is whole"))
    return scans, faults


def _suffixes(root: Path, scans: Mapping[str, Sequence[File]], faults: list[Fault]) -> dict[str, str]:
    """Those that all sessions with scans have, T1w first, each its own pattern; where some have others too, a fault."""
    of_case = {name: {f.suffix for f in some if f.conforms} for name, some in scans.items() if some}
    if strange := [f for some in scans.values() for f in some if not f.conforms]:
        what = f"{len(strange)} scans have no names as BIDS gives them, {strange[0].path.name} the first"
        faults.append(Fault("warning", "", str(root), what, "rename them, or choose by --channels"))
    counts = Counter(suffix for some in of_case.values() for suffix in some)
    if any(count < len(of_case) for count in counts.values()):
        told = [
            f"{suffix} in {count} ({_without(suffix, of_case)})" if count < len(of_case) else f"{suffix} in all"
            for suffix, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        ]
        what = f"{len(of_case)} sessions have not the same scans: {'; '.join(told)}"
        best = max(counts, key=lambda suffix: (counts[suffix], suffix))
        remedy = f"choose by --channels, as --channels {best}; sessions without them are left out"
        faults.append(Fault("error", "", str(root), what, remedy))
    shared = sorted(suffix for suffix in counts if counts[suffix] == len(of_case))
    return {suffix: f"(^|_){suffix}$" for suffix in sorted(shared, key=lambda suffix: suffix != "T1w")}


def _without(suffix: str, of_case: Mapping[str, set[str]]) -> str:
    lacking = [name for name, some in of_case.items() if suffix not in some]
    return f"not in {', '.join(lacking[:3])}{', …' if len(lacking) > 3 else ''}"


def _images(
    root: Path,
    session: Session,
    scans: Sequence[File],
    wanted: Mapping[str, str],
    *,
    given: bool,
    faults: list[Fault],
) -> tuple[Path, ...]:
    """One file a channel, in their order; none where one is missing."""
    chosen = {name: [f for f in scans if _matches(pattern, f)] for name, pattern in wanted.items()}
    for name, some in chosen.items():
        if len(some) > 1:
            texts = [f.text for f in some]
            faults.append(_several(session, f"channel {name}", texts, f"--channels {name}='^{{}}$'"))
    if lacking := [name for name, some in chosen.items() if not some]:
        if given and scans:
            there = ", ".join(f.text for f in scans)
            what = f"has no scan for {', '.join(lacking)} but {there}; it is left out"
            remedy = "add the scan, or give --channels what it should match"
            faults.append(Fault("warning", session.name, str(root / session.folder), what, remedy))
        return ()
    return tuple(some[0].path for some in chosen.values())


def _matches(pattern: str, file: File) -> bool:
    """A FLAIR in space-T1w is no T1w: the space is searched only if the pattern names it."""
    text = file.text if "space" in pattern else re.sub(r"space-[^_]*_", "", file.text)
    return re.search(pattern, text, re.IGNORECASE) is not None


def _several(session: Session, what: str, names: Sequence[str], option: str) -> Fault:
    remedy = f"choose one by a regular expression, as {option.format(names[0])}"
    return Fault("error", session.name, str(session.folder), f"{what} could be {' or '.join(names)}", remedy)


def _fetched(root: Path, cases: Sequence[Case]) -> tuple[list[Case], list[Fault]]:
    """The cases whose files are all here; of the others one fault."""
    absent = {c.name: [p for p in (*c.images, *([c.label] if c.label else [])) if not is_fetched(p)] for c in cases}
    gone = [path for paths in absent.values() for path in paths]
    if not gone:
        return list(cases), []
    what = f"the content of {len(gone)} files is not here, {gone[0].relative_to(root)} the first"
    fault = Fault("error", "", str(root), what, "fetch it: run `datalad get` there on the folders that you need")
    return [c for c in cases if not absent[c.name]], [fault]
