"""What is kept of a subject: a folder that appears whole or not at all."""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from halfmask.brain.image import as_array, like, write_image
from halfmask.brain.normalization import landmarks, scale
from halfmask.brain.reference import Reference, read_reference, template
from halfmask.brain.settings import NONE, Settings
from halfmask.brain.sheet import write_sheet
from halfmask.brain.subject import Subject, bring
from halfmask.data.atomic import atomic, write_text
from halfmask.data.index import Case
from halfmask.data.store import source_key

STEPS = "steps.json"
FORMAT = 1


@dataclass(frozen=True)
class Writer:
    """Brings one subject and writes what came of it: a function of the case that pickles.

    Attributes:
        folder: of all subjects.
        reference: the file of a chosen one, which is not named by the settings.
    """

    folder: Path
    names: tuple[str, ...]
    settings: Settings
    reference: Path | None = None

    def __call__(self, case: Case) -> str | None:
        """Returns: why the subject could not be brought, or None."""
        try:
            reference = reference_of(self.settings, self.reference)
            subject = bring(case, self.names, self.settings, reference)
            write_subject(self.folder / case.name, case.name, subject, self.settings, reference, self.key(case))
        except ValueError as e:
            return str(e)
        except Exception as e:  # whatever one scan does, the others go on
            return f"case {case.name!r}: {type(e).__name__}: {e}"
        return None

    def is_done(self, case: Case) -> bool:
        """Whether the subject was brought soundly, from the same files and by the same settings."""
        steps = read_steps(self.folder / case.name)
        standard = _told(self.settings.landmarks) if self.settings.normalization == "nyul" else None
        return (
            steps.get("key") == self.key(case)
            and steps["normalized"] in ("none", "percentile", standard)
            and all((self.folder / case.name / f).is_file() for f in steps["files"])
        )

    def key(self, case: Case) -> str:
        about = self.settings.model_dump(mode="json", exclude={"normalization", "landmarks"})
        chosen = hashlib.blake2b(self.reference.read_bytes()).hexdigest() if self.reference else ""
        plain = self.settings.normalization == NONE
        told = json.dumps([FORMAT, about, plain, self.names, chosen, source_key(case)], sort_keys=True)
        return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()


def reference_of(settings: Settings, file: Path | None) -> Reference | None:
    """What subjects are brought to; None for their own places."""
    if settings.reference == NONE:
        return None
    return _reference(file, settings.spacing)


@functools.lru_cache(1)
def _reference(file: Path | None, spacing: float) -> Reference:
    return template(spacing) if file is None else read_reference(file, spacing)


def write_subject(
    folder: Path, name: str, subject: Subject, settings: Settings, reference: Reference | None, key: str
) -> None:
    """The images, the mask, the label, each step's transform and figures, and the sheet."""
    inside = as_array(subject.brain) > 0
    if not inside.any():
        raise ValueError(f"case {name!r}: no brain is left in the field of view of the reference; look at the scan")
    if blind := [n for n, seen in subject.seen.items() if not (inside & seen).any()]:
        raise ValueError(f"case {name!r}: {', '.join(blind)} shows nothing of the brain; is it of the same head?")
    own = {n: landmarks(as_array(image)[inside & subject.seen[n]]) for n, image in subject.images.items()}
    results = {n: _result(subject, n, own[n], settings) for n in subject.scans}
    first = next(iter(subject.scans))
    with atomic(folder) as partial:
        partial.mkdir()
        for n, image in results.items():
            write_image(partial / f"{n}.nii.gz", image)
            if n in subject.fields:
                write_image(partial / f"{n}_log_bias.nii.gz", _coarse(subject.fields[n]))
            if (aligned := subject.aligned.get(n)) is not None:
                sitk.WriteTransform(aligned.transform, str(partial / f"{first}_to_{n}.tfm"))
        if subject.to_first is not None:
            sitk.WriteTransform(subject.to_first.transform, str(partial / f"reference_to_{first}.tfm"))
        write_image(partial / "brain_mask.nii.gz", subject.brain)
        write_image(partial / f"{first}_as_scanned_mask.nii.gz", subject.mask)
        if subject.label is not None:
            write_image(partial / "label.nii.gz", subject.label)
        write_sheet(partial / "sheet.png", name, subject, results, reference)
        steps = {
            "key": key,
            "settings": settings.model_dump(mode="json", exclude={"landmarks"}),
            "normalized": "none" if settings.normalization == NONE else "percentile",
            "landmarks": {n: [float(q) for q in quantiles] for n, quantiles in own.items()},
            "figures": subject.figures,
            "flags": subject.flags,
            "files": sorted(p.name for p in partial.iterdir()),
        }
        (partial / STEPS).write_text(json.dumps(steps, indent=1), encoding="utf-8")


def read_steps(folder: Path) -> dict[str, Any]:
    """steps.json of a subject; empty if there is none that can be read."""
    try:
        return json.loads((folder / STEPS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def renormalize(folder: Path, standard: Mapping[str, tuple[float, ...]]) -> None:
    """Bring a subject that is normalized by its percentiles to the scale of the cohort.

    That is a second map of [0, 1], so nothing before has to be done again.
    """
    steps, told = read_steps(folder), _told(standard)
    if steps["normalized"] == told:
        return
    assert steps["normalized"] == "percentile", folder
    with atomic(folder) as partial:
        shutil.copytree(folder, partial)
        inside = as_array(sitk.ReadImage(str(folder / "brain_mask.nii.gz"))) > 0
        for name, quantiles in steps["landmarks"].items():
            own = np.array(quantiles)
            image = sitk.ReadImage(str(folder / f"{name}.nii.gz"))
            shares = (own - own[0]) / max(own[-1] - own[0], 1e-12)
            mapped = scale(as_array(image), shares, standard[name]) * inside
            write_image(partial / f"{name}.nii.gz", like(mapped.astype(np.float32), image))
        write_text(partial / STEPS, json.dumps(steps | {"normalized": told}, indent=1))


def _told(standard: Mapping[str, tuple[float, ...]]) -> dict[str, list[float]]:
    """Landmarks as steps.json has them."""
    return {name: list(scale) for name, scale in standard.items()}


def _result(subject: Subject, name: str, own: np.ndarray, settings: Settings) -> sitk.Image:
    """A modality as it is written: normalized, and 0 outside the brain."""
    image = subject.images[name]
    if settings.normalization == NONE:
        return sitk.Mask(image, subject.brain)
    inside = as_array(subject.brain) > 0
    return like(scale(as_array(image), own) * inside.astype(np.float32), image)


def _coarse(field: sitk.Image) -> sitk.Image:
    """A smooth field with voxels of about 4 mm."""
    return sitk.Shrink(field, [max(1, round(4 / s)) for s in field.GetSpacing()])
