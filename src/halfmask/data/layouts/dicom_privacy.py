"""What paths and headers of DICOM files tell of patients, and what is to be done about it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from halfmask.data.formats.dicom.header import Header
from halfmask.data.formats.dicom.patient import Patient, Telling
from halfmask.data.index import Fault


def told_by_path(root: Path, headers: Sequence[Header]) -> Fault | None:
    """An error if names of files or folders tell a patient's name or birth date, of which nothing is repeated.

    Folders above ``root`` count where they tell all patients below: /home/smith may be a physician's among many.
    """
    patients = {header.patient for header in headers}
    telling = Telling(patients)
    folders: dict[Path, bool] = {}  # whether it tells anybody
    for folder in {header.path.parent for header in headers}:
        folders[folder] = telling.is_in("/".join((root.name, *_inside(root, folder))))
    count = sum(folders[h.path.parent] or telling.is_in(h.path.name) for h in headers)
    above = _above(root)
    if not count and not _is_of_all(above, patients):
        return None
    what = (
        f"the paths of {count or len(headers)} files hold parts of a patient's name or a birth date, and so would all"
    )
    what += " results"
    remedy = "rename the files and folders, e.g. by numbers, or de-identify the data"
    shown = "the folder" if not count or telling.is_in(root.name) or telling.is_in(above) else str(root)
    return Fault("error", "", shown, what, remedy)


def _inside(root: Path, folder: Path) -> tuple[str, ...]:
    """What of a folder's path is below the root, also of where links lead to, as results tell that."""
    own, real, top = folder.relative_to(root).parts, folder.resolve(), root.resolve()
    return (*own, *(real.relative_to(top).parts if real.is_relative_to(top) else real.parts))


def _above(root: Path) -> str:
    return f"{root.absolute().parent}/{root.resolve()}"


def _is_of_all(text: str, patients: set[Patient]) -> bool:
    named = [patient for patient in patients if patient.parts() or patient.born_on()]
    return bool(named) and all(Telling([patient]).is_in(text) for patient in named)


def told_by_number(root: Path, headers: Sequence[Header]) -> Iterator[Fault]:
    """Warnings of patients who are told by paths, or not told at all, or by several names."""
    inside = lambda header: "/".join(header.path.relative_to(root).parts)
    if count := len({h.patient for h in headers if h.patient.is_numbered_in(inside(h))}):
        what = f"paths hold the PatientID of {count} patients, and so do index.json and prediction.json"
        yield Fault("warning", "", str(root), what, "rename the folders, unless these numbers are pseudonyms already")
    if count := len({h.study for h in headers if h.kind == "image" and not h.patient.known}):
        what = f"{count} studies name no patient, so each counts as a patient of its own"
        yield Fault("warning", "", str(root), what, "make sure that no two are of one patient")
    groups: dict[tuple[str, str], set[str]] = defaultdict(set)
    for patient in {h.patient for h in headers if h.kind == "image" and h.patient.id.strip()}:
        groups[patient.id.strip(), patient.issuer.strip()].add(patient.group)
    if several := [sorted(found) for found in groups.values() if len(found) > 1]:
        what = f"{len(several)} PatientIDs come with several names, and each name counts as a patient of its own: "
        what += "; ".join(" and ".join(found) for found in several[:3]) + "; …" * (len(several) > 3)
        remedy = "if these are one patient, spell the name alike in all files, so that no split parts the studies"
        yield Fault("warning", "", str(root), what, remedy)
