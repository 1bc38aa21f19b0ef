"""A cohort of made-up subjects, written as a data set.

Skull-stripped T1- and FLAIR-like heads, warped at random from an anatomical template, with contrasts that differ
between subjects and between scanners. Lesions are bright on FLAIR and lie in white matter, mostly beside the
ventricles. As bright, but no lesions, are patches of cortex, the choroid plexus within the ventricles and artifacts
in the posterior fossa; a rim around the ventricles is half as bright. So place tells, and brightness alone does not.

Nobody's images are in it and it models no disease: figures on it say nothing about patients.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from halfmask.config import nearest
from halfmask.data.atomic import write_text
from halfmask.data.phantom.anatomy import anatomy
from halfmask.data.phantom.healthy import VIEW
from halfmask.data.phantom.scan_file import write_scan
from halfmask.data.phantom.scanner import CHANNELS, SCANNERS, picture

LABELS = {0: "background", 1: "lesion", 2: "ventricles"}


@dataclass(frozen=True)
class Phantom:
    """One subject.

    Attributes:
        image: (C, *spatial) int16, 0 outside the brain.
        label: (*spatial) uint8, values of `LABELS`.
        spacing: mm along each axis.
    """

    image: NDArray[np.int16]
    label: NDArray[np.uint8]
    spacing: tuple[float, float, float]


def make_phantoms(
    folder: str | os.PathLike[str],
    *,
    subjects: int = 24,
    labeled: int = 8,
    test: int = 6,
    shape: Sequence[int] = (64, 72, 64),
    seed: int = 0,
    channels: Sequence[str] = CHANNELS,
    scanners: Sequence[str] = ("A", "B"),
    name: str = "phantom",
    structures: Sequence[str] = ("lesion", "ventricles"),
) -> Path:
    """Write a cohort as a Medical Segmentation Decathlon data set and return its folder.

    The first ``test`` subjects are test cases, the next ``labeled`` have labels, the rest have none: more
    subjects or labels change neither the test cases nor any image. The same arguments give the same bytes.
    ``dataset.json`` is written last, so a folder that has it is complete. It replaces an earlier cohort.

    Args:
        shape: voxels along each axis; (96, 108, 24), for example, makes thick slices.
        channels: of `CHANNELS`. Images of one channel are 3D, of more 4D with channels last.
        scanners: of `SCANNERS`, one subject after the other in turn; ``dataset.json`` calls it their domain.
        name: that their numbers are put to.
        structures: of `LABELS`; the others are background.
    """
    _check(subjects, labeled, test, shape, channels, scanners, structures)
    labels = {value: name for value, name in LABELS.items() if value == 0 or name in structures}
    folder = Path(folder)
    for old in (folder / "dataset.json", *folder.glob(f"*T[rs]/{name}_*.nii.gz")):
        old.unlink(missing_ok=True)
    cases = []
    for subject in range(subjects):
        scanner = scanners[subject % len(scanners)]
        phantom = draw(subject, shape=shape, seed=seed, channels=channels, scanner=scanner)
        file = f"{'Ts' if subject < test else 'Tr'}/{name}_{subject:03d}.nii.gz"
        cases.append({"image": f"./images{file}", "domain": scanner})
        image = phantom.image[0] if len(channels) == 1 else np.moveaxis(phantom.image, 0, -1)
        _write(folder / f"images{file}", image, phantom.spacing)
        if subject < test + labeled:
            cases[-1]["label"] = f"./labels{file}"
            _write(folder / f"labels{file}", phantom.label * np.isin(phantom.label, list(labels)), phantom.spacing)
    about = {
        "name": "Phantom",
        "description": "Made-up brains with lesions, by halfmask",
        "tensorImageSize": "3D" if len(channels) == 1 else "4D",
        "modality": {str(i): channel for i, channel in enumerate(channels)},
        "labels": {str(value): name for value, name in labels.items()},
        "numTraining": subjects - test,
        "numTest": test,
        "training": cases[test:],
        "test": cases[:test],
    }
    write_text(folder / "dataset.json", json.dumps(about, indent=2) + "\n")
    return folder


def draw(
    subject: int,
    *,
    shape: Sequence[int] = (64, 72, 64),
    seed: int = 0,
    channels: Sequence[str] = CHANNELS,
    scanner: str = "A",
) -> Phantom:
    """One subject, a function of (seed, subject) alone.

    Another shape samples the same brain, with most lesions in the same places; another scanner shows the very same
    brain; a channel does not depend on which others there are.
    """
    tissues = anatomy(np.random.default_rng((seed, subject)), shape, SCANNERS[scanner].lesions)
    image = np.zeros((len(channels), *shape), np.int16)
    for i, channel in enumerate(channels):
        # From 1: to NumPy (seed, subject, 0) is the same seed as (seed, subject).
        rng = np.random.default_rng((seed, subject, 1 + CHANNELS.index(channel)))
        image[i] = np.maximum(picture(rng, SCANNERS[scanner], channel, tissues), tissues.brain > 0.5)
    label = np.zeros(shape, np.uint8)
    label[tissues.ventricles > 0.5] = 2
    label[tissues.lesion > 0.5] = 1
    return Phantom(image, label, tuple((VIEW / shape).tolist()))


def _write(path: Path, array: NDArray[np.generic], spacing: Sequence[float]) -> None:
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = (np.asarray(spacing) - VIEW) / 2  # the view's center is the origin
    write_scan(path, array, affine)


def _check(
    subjects: int,
    labeled: int,
    test: int,
    shape: Sequence[int],
    channels: Sequence[str],
    scanners: Sequence[str],
    structures: Sequence[str],
) -> None:
    faults = [f"no channel is called {c!r}; {nearest(c, CHANNELS)}" for c in channels if c not in CHANNELS]
    faults += [f"no scanner is called {s!r}; {nearest(s, SCANNERS)}" for s in scanners if s not in SCANNERS]
    known = list(LABELS.values())[1:]
    faults += [f"no structure is called {s!r}; {nearest(s, known)}" for s in structures if s not in known]
    if not scanners:
        faults.append("scanners is empty: expected one or more")
    if not channels or len(shape) != 3 or min(shape) < 8:
        faults.append(f"shape {tuple(shape)}, {len(channels)} channels: expected 3 axes of 8 or more, and a channel")
    if test + labeled > subjects or min(test, labeled) < 0:
        faults.append(f"{test} test and {labeled} labeled cases cannot be had from {subjects} subjects")
    if faults:
        raise ValueError("\n".join(faults))
