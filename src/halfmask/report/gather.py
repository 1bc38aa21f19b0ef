"""What runs left behind, read for the report."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import yaml

from halfmask.evaluation import note, table
from halfmask.evaluation.class_table import CASES, Measured, Predictions, read_cases
from halfmask.evaluation.classification import measure
from halfmask.evaluation.saliency import TABLE as SALIENCY_TABLE
from halfmask.inference.predict import ABOUT
from halfmask.methods import names
from halfmask.training.journal import read_journal

T = TypeVar("T")
CLASSIFICATION = "classification"
SHARES = ("pointing", "energy", "area")


@dataclass
class Entry:
    """One run, or one folder of masks, with all that is known of it; what is not known is empty.

    Attributes:
        name: what the page calls it.
        masks: the folder of its masks.
        folder: of its training; None if it is not known.
        choice: how its method was chosen, if a search did.
        run: run.yaml; result: result.json; journal: the lines of journal.jsonl; prediction: prediction.json.
        evaluation: what was measured; table: its figures, a row for each case and structure.
        classified: the cases of a classifier, with their probabilities and true classes; measured: its figures, see
            `classification.measure`; saliency: by case and kind, how much of what it looked at lies in the masks.
        domains: case to domain (scanner, site), for every measured case that has one.
        missing: what could not be read, in words.
    """

    name: str
    masks: Path
    folder: Path | None
    run: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)
    journal: list[dict[str, Any]] = field(default_factory=list)
    prediction: dict[str, Any] = field(default_factory=dict)
    evaluation: note.Note | None = None
    table: pd.DataFrame | None = None
    classified: Predictions | None = None
    measured: Measured | None = None
    saliency: pd.DataFrame | None = None
    domains: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    choice: str = ""

    @property
    def method(self) -> str:
        """Its method's name; masks from elsewhere go by their folder's."""
        return str(self.run.get("method") or self.prediction.get("method") or self.name)

    @property
    def pretrains(self) -> bool:
        """Whether it learned from images alone, and so predicts nothing; but for clusters."""
        alone = (self.run.get("recipe") or {}).get("labeled") == 0
        return alone and self.run.get("method") not in names("clustering")

    @property
    def classifies(self) -> bool:
        """Whether it gives classes to whole images; else it segments, or pre-trains."""
        return self.prediction.get("task") == CLASSIFICATION or self.run.get("task") == CLASSIFICATION

    def dice(self) -> pd.Series:
        """Mean Dice over the structures, by case; empty if nothing was measured."""
        if self.table is None:
            return pd.Series(dtype=float)
        return self.table.groupby("case")["dice"].mean()


def gather(folders: Sequence[Path]) -> list[Entry]:
    """Read runs and folders of masks, or of predicted classes.

    Raises:
        ValueError: no folder is given, one is given twice, some are neither, all of them named; or some segment and
            others classify.
    """
    if not folders:
        raise ValueError("give at least one run, or folder of masks")
    twice = {str(f) for n, f in enumerate(folders) if f.resolve() in [g.resolve() for g in folders[:n]]}
    faults = [f"{f} is given twice" for f in sorted(twice)]
    for folder in dict.fromkeys(folders):
        if not folder.is_dir():
            faults.append(f"{folder} is no folder")
        elif not any((folder / mark).is_file() for mark in ("run.yaml", ABOUT, note.FILE)):
            faults.append(
                f"{folder} holds neither a run (run.yaml) nor masks that were predicted or evaluated "
                f"({ABOUT}, {note.FILE})"
            )
    if faults:
        raise ValueError("\n".join(faults))
    entries = [read_entry(name, folder) for name, folder in zip(_names(folders), folders, strict=True)]
    kinds = {kind: [e.name for e in entries if e.classifies == kind and not e.pretrains] for kind in (True, False)}
    if all(kinds.values()):
        raise ValueError(
            f"{', '.join(kinds[True])} tell classes of images, {', '.join(kinds[False])} masks: no figure compares "
            "them; make a report of each kind"
        )
    return entries


def _names(folders: Sequence[Path]) -> list[str]:
    """The end of each path, as long as it must be to tell them apart."""
    parts = [folder.resolve().parts for folder in folders]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(p[-length:]) for p in parts]
        if len(set(names)) == len(names):
            break
    return names


def read_entry(name: str, folder: Path) -> Entry:
    """One run, or one folder of masks, which must be there."""
    trains = (folder / "run.yaml").is_file()
    entry = Entry(name, _predicted(folder) if trains else folder, folder if trains else None)
    if (entry.masks / ABOUT).is_file():
        entry.prediction = _try(entry, entry.masks / ABOUT, _json) or {}
    trained = entry.prediction.get("run")
    if entry.folder is None and isinstance(trained, str) and (Path(trained) / "run.yaml").is_file():
        entry.folder = Path(trained)
    if entry.folder is None:
        entry.missing.append("the run that made these masks is not known, so neither are its settings and curves")
    else:
        _read_run(entry, entry.folder)
        if trains and entry.classifies and not entry.prediction:
            entry.masks = folder / "classes"
            entry.missing.append(f"no classes in {entry.masks}; run `halfmask predict {entry.folder} --split test`")
        elif trains and not (entry.masks / ABOUT).is_file() and not entry.pretrains:
            entry.missing.append(f"no masks in {entry.masks}; run `halfmask predict {entry.folder} --split test`")
    if entry.classifies and entry.prediction:
        read_classes(entry)
    elif entry.masks.is_dir() and not entry.classifies:
        _read_figures(entry)
    return entry


def _predicted(folder: Path) -> Path:
    """Where a run's predictions lie."""
    return folder / ("classes" if (folder / "classes" / ABOUT).is_file() else "masks")


def _read_run(entry: Entry, folder: Path) -> None:
    entry.run = _try(entry, folder / "run.yaml", _yaml) or {}
    entry.result = _try(entry, folder / "result.json", _json, absent="the training has not ended") or {}
    entry.journal = _try(entry, folder / "journal.jsonl", lambda f: list(read_journal(f))) or []
    if (folder / "choice.json").is_file():
        entry.choice = str((_try(entry, folder / "choice.json", _json) or {}).get("told", ""))


def _read_figures(entry: Entry) -> None:
    entry.evaluation = _try(entry, entry.masks, note.read)
    if entry.evaluation is not None:
        entry.domains = dict(entry.evaluation.domains)
        entry.table = _try(entry, entry.evaluation.table, _figures, absent="evaluate anew")


def read_classes(entry: Entry) -> None:
    """What a classifier predicted and looked at; measured anew, so that figures are of these very probabilities."""
    several = bool(entry.prediction.get("multi_label"))
    cases = lambda file: read_cases(file, multi_label=several)
    entry.classified = _try(entry, entry.masks / CASES, cases, absent=f"run `halfmask evaluate {entry.masks}`")
    if (entry.masks / SALIENCY_TABLE).is_file():
        entry.saliency = _try(entry, entry.masks / SALIENCY_TABLE, read_saliency)
    found = entry.classified
    if found is not None and not found.any_known:
        told = f"{entry.masks / CASES} tells of no case what it is, so nothing can be measured"
        entry.missing.append(f"{told}; run `halfmask evaluate {entry.masks} TABLE`")
    elif found is not None:
        measured = lambda _: measure(found.probability, found.truth, found.classes)
        entry.measured = _try(entry, entry.masks / CASES, measured)


def read_saliency(file: Path) -> pd.DataFrame:
    """saliency.csv: case, kind (text), pointing, energy, area (in [0, 1]; NaN where there is no mask)."""
    read = pd.read_csv(file, dtype=str, keep_default_na=False)
    if lacking := [column for column in ("case", "kind", *SHARES) if column not in read]:
        raise ValueError(f"{file} has no column {', '.join(lacking)}; evaluate anew")
    read[list(SHARES)] = read[list(SHARES)].replace("", "nan").astype(float)
    return read


def _try(entry: Entry, file: Path, read: Callable[[Path], T], *, absent: str = "") -> T | None:
    """What ``read`` gives, or None and a word on why not."""
    if not file.exists():
        entry.missing.append(f"there is no {file}" + (f"; {absent}" if absent else ""))
        return None
    try:
        return read(file)
    except (ValueError, KeyError, OSError, yaml.YAMLError) as e:
        entry.missing.append(str(e) if str(file) in str(e) else f"{file} cannot be read: {e}")
        return None


def _json(file: Path) -> dict[str, Any]:
    return _mapping(json.loads(file.read_text(encoding="utf-8")))


def _yaml(file: Path) -> dict[str, Any]:
    return _mapping(yaml.safe_load(file.read_text(encoding="utf-8")))


def _mapping(told: Any) -> dict[str, Any]:
    if not isinstance(told, dict):
        raise ValueError(f"expected names and values, got {type(told).__name__}")
    return told


def _figures(file: Path) -> pd.DataFrame:
    read = table.read(file)
    if lacking := {*table.KEYS, "dice"} - set(read.columns):
        raise ValueError(f"{file} has no column {', '.join(sorted(lacking))}; evaluate anew")
    return read
