"""All subjects of a data set: what is missing is made, what is there is kept, and what came out is a data set."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Collection, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from halfmask.brain.image import write_image
from halfmask.brain.normalization import learn
from halfmask.brain.page import quality_page
from halfmask.brain.settings import NONE, TEMPLATE, Settings, differing, settings_from
from halfmask.brain.skull import missing_tool
from halfmask.brain.subject import stripped_first
from halfmask.brain.write import Writer, read_steps, renormalize
from halfmask.config import nearest
from halfmask.data.atomic import write_text
from halfmask.data.batch import IGNORE
from halfmask.data.formats import read
from halfmask.data.index import Case, Index
from halfmask.data.parallel import over
from halfmask.progress import say

TOLD = "brain.yaml"
"""The settings of a folder, with the landmarks once they are learned."""
TAKEN = ("label", "brain_mask")
CHOSEN = "reference.nii.gz"
"""The subject that all were brought to, stripped, where one was chosen."""


class NotBrought(ValueError):
    """Some subjects failed; all others are there."""


def bring_all(
    index: Index,
    out: Path,
    settings: Settings,
    *,
    learn_from: Collection[str] | None = None,
    executor: Executor | None = None,
) -> Path:
    """Bring every subject of a data set and write what comes of it as a data set.

    ``cases.csv`` is written last. Subjects that are there already, from the same files by the same settings, are kept.

    Args:
        learn_from: names of the cases that landmarks are learned from; all but those of tested groups unless given.

    Raises:
        ValueError: before any work, all that is wrong with the data set or the settings.
        NotBrought: at the end, every subject that failed.
    """
    settings = _obeyed(out / TOLD, _found_anywhere(index, settings))
    names = _names(index)
    _refuse(index, settings, names)
    if names and settings.skull == "deepbet" and "t1" not in names[0].lower():
        say(f"warning: the brain is looked for in the first modality, {names[0]}, and deepbet was trained on T1; "
            "name one first by --channels if there is one")  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    write_settings(out, settings)
    writer = Writer(out / "subjects", names, settings, _chosen(index, out, names, settings))
    done = {case.name for case in index.cases if writer.is_done(case)}
    missing = [case for case in index.cases if case.name not in done]
    if done:
        say(f"brain: {len(done)} of {len(index.cases)} subjects are there already")
    failed = [why for _, why in over(writer, missing, what="brain", executor=executor) if why]
    for why in failed:
        say(f"failed: {why}")
    brought = [case for case in index.cases if writer.is_done(case)]
    if settings.normalization == "nyul" and brought:
        _to_standard(brought, out, settings, learn_from)
    _write_data_set(index, brought, out, names)
    write_text(out / "quality.html", quality_page(out, [case.name for case in brought], names, failed))
    if failed:
        raise NotBrought(f"{len(failed)} of {len(index.cases)} subjects were not brought:\n" + "\n".join(failed))
    return out


def settings_of(folder: Path) -> Settings:
    """What new subjects are brought by so that they lie and look as those of a folder do.

    Raises:
        ValueError: the folder holds no brains.
    """
    file, chosen = folder / TOLD, folder / CHOSEN
    if not file.is_file():
        raise ValueError(f"{folder} was not made by brain: there is no {TOLD}")
    settings = settings_from(yaml.safe_load(file.read_text(encoding="utf-8")), where=str(file))
    return settings.model_copy(update={"reference": str(chosen.resolve())}) if chosen.is_file() else settings


def write_settings(folder: Path, settings: Settings) -> None:
    """Say what the brains of a folder are made by."""
    write_text(folder / TOLD, yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False))


def _found_anywhere(index: Index, settings: Settings) -> Settings:
    """The settings, with a reference's file as it is found from any folder."""
    named = {TEMPLATE, NONE, *(case.name for case in index.cases)}
    if settings.reference in named or not Path(settings.reference).is_file():
        return settings
    return settings.model_copy(update={"reference": str(Path(settings.reference).resolve())})


def _obeyed(file: Path, settings: Settings) -> Settings:
    """The settings, with the landmarks that the folder has; those of a folder cannot change."""
    if not file.is_file():
        if file.parent.is_dir() and any(p for p in file.parent.iterdir() if not p.name.startswith(".")):
            raise ValueError(f"{file.parent} is not empty and was not made by brain; choose another folder")
        return settings
    there = settings_from(yaml.safe_load(file.read_text(encoding="utf-8")), where=str(file))
    if differ := differing(there, settings):
        raise ValueError(f"{file} exists and is obeyed, but {differ}. Choose another folder, or remove this one")
    return there if not settings.landmarks else settings


def _names(index: Index) -> tuple[str, ...]:
    """Of the modalities, as files can be called; those that the data set names none for are numbered."""
    names = index.channels or tuple(f"channel{i}" for i in range(_count(index)))
    return tuple("".join(c if c.isalnum() or c in "-." else "_" for c in name) for name in names)


def _count(index: Index) -> int:
    """Of the images of the first case that can be read; a file may hold several."""
    for case in index.cases:
        with contextlib.suppress(ValueError):
            return sum(len(read(path)[0]) for path in case.images)
    return 0


def _refuse(index: Index, settings: Settings, names: Sequence[str]) -> None:
    """Tell of all that can be known before hours of work."""
    faults = [str(fault) for fault in index.faults if fault.severity == "error"]
    faults += [f"case {c.name!r}: there is no file {p}" for c in index.cases
               for p in (*c.images, *([c.label] if c.label else [])) if not p.exists()]  # fmt: skip
    if (told := missing_tool(settings.skull)) is not None:
        faults.append(told)
    if len(set(names)) < len(names):
        faults.append(f"two modalities have one name: {', '.join(names)}")
    faults += [f"a modality cannot be called {name}, as a file beside it is; give --channels other names"
               for name in names if name in TAKEN]  # fmt: skip
    known = [case.name for case in index.cases]
    if settings.reference not in (TEMPLATE, NONE, *known) and not Path(settings.reference).is_file():
        faults.append(
            f"reference: {settings.reference!r} is neither template, none, a case nor a file; "
            + nearest(settings.reference, [TEMPLATE, NONE, *known])
        )
    if settings.landmarks and set(settings.landmarks) != set(names):
        faults.append(f"landmarks: of {', '.join(settings.landmarks)}, the modalities are {', '.join(names)}")
    if faults:
        raise ValueError("\n".join(faults))


def _chosen(index: Index, out: Path, names: tuple[str, ...], settings: Settings) -> Path | None:
    """The file of a chosen reference: the user's, or a case's first modality, stripped, which is made once."""
    if settings.reference in (TEMPLATE, NONE):
        return None
    known = {case.name: case for case in index.cases}
    if settings.reference not in known:
        return Path(settings.reference)
    file = out / CHOSEN
    if not file.is_file():
        say(f"brain: {settings.reference} becomes the reference")
        image = stripped_first(known[settings.reference], names, settings)
        write_image(file, image)
    return file


def _to_standard(cases: Sequence[Case], out: Path, settings: Settings, learn_from: Collection[str] | None) -> None:
    """Learn the landmarks of the cohort, unless they are known, and bring every subject to them."""
    steps = {case.name: read_steps(out / "subjects" / case.name) for case in cases}
    standard: dict[str, Any] = dict(settings.landmarks)
    if not standard:
        tested = {case.group or case.name for case in cases if case.split == "test"}
        untested = (case.name for case in cases if (case.group or case.name) not in tested)
        allowed = set(untested if learn_from is None else learn_from)
        own = [{n: np.array(q) for n, q in steps[case.name]["landmarks"].items()}
               for case in cases if case.name in allowed]  # fmt: skip
        if not own:
            raise ValueError("landmarks are learned from cases outside the test part, and none of them was brought")
        standard = learn(own)
        write_settings(out, settings.model_copy(update={"landmarks": standard}))
    for case in cases:
        renormalize(out / "subjects" / case.name, standard)


def _write_data_set(index: Index, cases: Sequence[Case], out: Path, names: Sequence[str]) -> None:
    """cases.csv, which `prepare` reads, and dataset.yaml, if the labels were described."""
    about: dict[str, Any] = {"labels": dict(index.labels)} if index.labels else {}
    about |= {"regions": {name: list(values) for name, values in index.regions.items()}} if index.regions else {}
    about |= {"ignore": index.ignore} if index.ignore is not None else {}
    write_text(out / "dataset.yaml", yaml.safe_dump({"channels": list(names), **about}, sort_keys=False))
    written = io.StringIO()
    table = csv.writer(written, lineterminator="\n")
    table.writerow(["case", *(f"image_{name}" for name in names), "label", "group", "domain", "split", *index.columns])
    for case in cases:
        folder = f"subjects/{case.name}"
        label = f"{folder}/label.nii.gz" if case.label or case.mask else ""
        told = [case.group or "", case.domain or "", case.split or "", *_targets(index, case)]
        table.writerow([case.name, *(f"{folder}/{name}.nii.gz" for name in names), label, *told])
    write_text(out / "cases.csv", written.getvalue())


def _targets(index: Index, case: Case) -> list[str]:
    """What the whole image shows, as the data set's table says it."""
    if not index.columns:
        return []
    if len(index.columns) > 1:
        return ["" if t == IGNORE else str(t) for t in case.target or (IGNORE,) * len(index.columns)]
    if case.target is None:
        return [""]
    two = index.classes == (f"no {index.columns[0]}", index.columns[0])
    return [str(case.target[0]) if two else index.classes[case.target[0]]]
