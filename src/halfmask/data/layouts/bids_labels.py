"""Which masks of a BIDS data set are its labels, and what their values are called."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from halfmask.data.formats import stem, suffix
from halfmask.data.formats.names import NIFTI
from halfmask.data.index import Fault
from halfmask.data.layouts.bids_files import File, Session, files, sessions
from halfmask.data.layouts.bids_tables import read_tsv

SUFFIXES = ("mask", "dseg", "roi")
_LIKE_LABELS = re.compile(r"lesion|mask|seg|roi|label|tumou?r|infarct|stroke", re.IGNORECASE)
_LIKE_BRAINS = re.compile(r"brain|deface", re.IGNORECASE)
_SCANNING = {"run", "acq", "rec", "ce", "echo", "inv", "part"}
"""Entities that tell how the image was acquired, and not what the mask shows."""


@dataclass(frozen=True)
class Mask:
    """A mask, and the data set or pipeline that it lies in."""

    file: File
    place: Path

    def text(self, root: Path) -> str:
        """What `--label` is searched in: derivatives/manual/acq-mprage_label-lesion_mask."""
        return (self.place.relative_to(root) / self.file.text).as_posix()

    def kind(self, root: Path) -> str:
        parts = [part for part in self.file.text.split("_") if part.partition("-")[0] not in _SCANNING]
        return (self.place.relative_to(root) / "_".join(parts)).as_posix()

    @property
    def of_brain(self) -> bool:
        """Whether it shows where the brain is, which pipelines write for their own use."""
        entities = self.file.entities
        return self.file.suffix == "mask" and "brain" in (entities.get("label"), entities.get("desc"))


def find_labels(root: Path, found: Sequence[Session], pattern: str | None) -> tuple[dict[str, list[Mask]], list[Fault]]:
    """Case name to its masks of the one kind that there is, or of those in whose path the pattern is found."""
    folder = root / "derivatives"
    pipelines = sorted(p for p in folder.iterdir() if p.is_dir() and p.name[0] != ".") if folder.is_dir() else []
    places = [root, folder, *(p for p in pipelines if not p.name.startswith("sub-"))]
    masks: dict[str, list[Mask]] = defaultdict(list)
    faults = []
    for place in places:
        for session in sessions(place):
            named, strange = files(place, session)
            masks[session.name] += [Mask(f, place) for f in named if f.suffix in SUFFIXES]
            if place != root:
                faults += [_misnamed(session, p) for p in strange if stem(p).endswith(SUFFIXES)]
    for subject in masks.keys() - {session.name for session in found}:  # pipelines leave out the only session there is
        if len(own := [s.name for s in found if s.subject == subject]) == 1:
            masks[own[0]] += masks.pop(subject)
    if not any(masks.values()):
        faults += _overlooked(folder)
    if pattern is not None:
        wanted = lambda m: re.search(pattern, m.text(root), re.IGNORECASE) is not None
    else:
        wanted = lambda m: not m.of_brain
    chosen = {name: kept for name, some in masks.items() if (kept := [m for m in some if wanted(m)])}
    kinds = sorted({m.kind(root) for some in (masks if pattern else chosen).values() for m in some})
    if pattern is not None and not chosen:
        raise ValueError(f"--label {pattern!r} is found in no mask of {root}; there are {', '.join(kinds) or 'none'}")
    if pattern is None and len(kinds) > 1:
        what = f"has several kinds of masks: {', '.join(kinds)}"
        remedy = f"choose by --label, a regular expression, as --label '{'/.*'.join(kinds[0].rsplit('/', 1))}'"
        return {}, [*faults, Fault("error", "", str(root), what, remedy)]
    if lost := sorted(set(chosen) - {session.name for session in found}):
        what = f"{len(lost)} masks belong to no session with scans, that of {lost[0]} the first"
        faults.append(Fault("warning", "", str(root), what, "add their scans or remove them"))
    return chosen, faults


def _overlooked(folder: Path) -> Iterator[Fault]:
    """A word on files that may be labels, where there are none."""
    names = (p for p in folder.rglob("*") if suffix(p) in NIFTI and p.name[0] != ".")
    if found := sorted(p for p in names if _LIKE_LABELS.search(p.name) and not _LIKE_BRAINS.search(p.name)):
        what = f"{len(found)} files in derivatives are called like labels and are none by BIDS, "
        what += f"{found[0].relative_to(folder)} the first"
        remedy = "call those that are derivatives/PIPELINE/sub-X[/ses-Y]/anat/sub-X[_ses-Y]_…_mask.nii.gz"
        yield Fault("warning", "", str(folder), what, remedy)


def _misnamed(session: Session, path: Path) -> Fault:
    what = f"its name does not begin with {session.name}_, as its folder says; it is left out"
    return Fault("warning", session.name, str(path), what, "rename it or move it")


def label_names(masks: Sequence[Mask]) -> tuple[dict[str, int], list[Fault]]:
    """Class name to value by the table (columns index and name) of a segmentation; empty without one.

    The table lies beside the first file, or in the folder of its pipeline, called after some of the file's entities.
    """
    mask = next((m for m in masks if m.file.suffix == "dseg"), None)
    if mask is None:
        return {}, []
    parts = set(mask.file.text.split("_"))
    shared = [t for t in mask.place.glob("*dseg.tsv") if set(stem_of(t).split("_")) <= parts]
    beside = mask.file.path.with_name(f"{stem(mask.file.path)}.tsv")
    table = beside if beside.is_file() else max(shared, key=lambda t: len(stem_of(t).split("_")), default=None)
    if table is None:
        return {}, []
    rows, faults = read_tsv(table, ("index", "name"))
    try:
        labels = {row["name"]: int(row["index"]) for row in rows}
    except ValueError as e:
        what = f"the column index must hold whole numbers: {e}"
        return {}, [*faults, Fault("error", "", str(table), what, "correct the table")]
    if len(labels) < len(rows) or len(set(labels.values())) < len(labels):
        what = "a name or an index stands there twice"
        return {}, [*faults, Fault("error", "", str(table), what, "give each label its own")]
    if labels and 0 not in labels.values():
        labels = {"background": 0, **labels}
    return dict(sorted(labels.items(), key=lambda item: (item[1] != 0, item[1]))), faults


def stem_of(table: Path) -> str:
    return table.name.removesuffix(".tsv")
