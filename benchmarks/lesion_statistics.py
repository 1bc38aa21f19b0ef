"""Lesions of people and of phantoms on the same measures: number, volume, place, shape.

    python benchmarks/lesion_statistics.py DATA [--subjects 30] [--scanners A 7T]

DATA is a folder of lesion masks in the space of the template (MNI, 1 mm), one a patient, such as the consensus masks
of Lesjak et al., Neuroinformatics 16:51 (2018). Their ventricles and cortex are the template's; those of a phantom are
its own, drawn at 1 mm. A lesion is what hangs together by faces, edges or corners and has 3 mm³ or more. It is, in this
order: infratentorial (its center below the tentorium), periventricular (within 3 mm of a lateral ventricle),
juxtacortical (within 1.5 mm of the cortex), else deep white. Prints Markdown.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from halfmask.data.phantom import SCANNERS
from halfmask.data.phantom.anatomy import anatomy
from halfmask.data.phantom.healthy import VIEW, healthy, tentorium, ventricle_distance
from halfmask.data.phantom.template import Field, tissue_maps

PLACES = ("infratentorial", "periventricular", "juxtacortical", "deep white")
FINE = tuple(VIEW.astype(int))
CELL = 4.0
"""mm, of the grid on which it is counted how many patients have a lesion somewhere."""


@dataclass(frozen=True)
class Surroundings:
    """Of a lesion mask, (*spatial): template coordinates (3, *spatial), mm from the ventricles, mm from the cortex."""

    place: Field
    ventricles: Field
    cortex: Field


@dataclass(frozen=True)
class Lesion:
    """Volume in mm³, place, mm from the ventricles, y of its center; axes in mm, longest first, None where tiny."""

    volume: float
    place: str
    away: float
    y: float
    axes: NDArray[np.floating] | None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--subjects", type=int, default=30)
    parser.add_argument("--scanners", nargs="+", choices=SCANNERS, default=["A", "7T"])
    arguments = parser.parse_args()
    files = sorted(arguments.data.rglob("*.nii*"))
    columns = {f"{len(files)} people": [measured(*real(file)) for file in files]}
    for name in arguments.scanners:
        drawn = [measured(*phantom(subject, SCANNERS[name].lesions)) for subject in range(arguments.subjects)]
        columns[f"{arguments.subjects} phantoms, {name}"] = drawn
    table = {title: rows(patients) for title, patients in columns.items()}
    print(f"| | {' | '.join(table)} |\n|---|{'---|' * len(table)}")
    for row in next(iter(table.values())):
        print(f"| {row} | {' | '.join(column[row] for column in table.values())} |")


def real(file: Path) -> tuple[NDArray[np.bool_], Surroundings]:
    image = nibabel.load(file)
    if not np.allclose(np.abs(image.affine[:3, :3]).sum(0), 1):
        raise ValueError(f"{file}: expected voxels of 1 mm in the template's space; got {image.header.get_zooms()}")
    grid = np.meshgrid(*map(np.arange, image.shape), indexing="ij")
    place = np.tensordot(image.affine[:3, :3], np.stack(grid), 1) + image.affine[:3, 3].reshape(3, 1, 1, 1)
    maps = tissue_maps(place, (1.0, 1.0, 1.0))
    fluid = np.clip(1 - maps["gray"] - maps["white"], 0, 1)
    ventricles = fluid * np.clip((12 - ventricle_distance(place)) / 2, 0, 1)
    return np.asarray(image.dataobj) > 0.5, surroundings(place, ventricles, maps["gray"])


def phantom(subject: int, lesions: str) -> tuple[NDArray[np.bool_], Surroundings]:
    here = healthy(np.random.default_rng(np.random.default_rng((0, subject)).integers(2**63)), FINE)
    lesion = anatomy(np.random.default_rng((0, subject)), FINE, lesions=lesions).lesion
    return lesion > 0.5, surroundings(here.place, here.ventricles, here.gray)


def surroundings(place: Field, ventricles: Field, gray: Field) -> Surroundings:
    x, y, z = np.abs(place[0]), place[1], place[2]
    deep = (x < 33) & (y > -35) & (y < 25) & (z > -18) & (z < 22)  # caudate, putamen, thalamus
    distance = lambda structure: ndimage.distance_transform_edt(~structure)
    return Surroundings(place, distance(ventricles > 0.5), distance((gray > 0.5) & ~deep))


def measured(mask: NDArray[np.bool_], around: Surroundings) -> tuple[list[Lesion], set[tuple[int, ...]]]:
    """A patient's lesions, and the cells of the template that they lie in."""
    parts, _ = ndimage.label(mask, np.ones((3, 3, 3)))
    lesions = []
    for number, box in enumerate(ndimage.find_objects(parts), 1):
        part = parts[box] == number
        if part.sum() < 3:
            continue
        x, y, z = (axis[box][part].mean() for axis in around.place)
        away, cortex = (distance[box][part].min() for distance in (around.ventricles, around.cortex))
        below = tentorium(np.array([x, y, z]).reshape(3, 1))[0]
        place = PLACES[0 if below else 1 if away <= 3 else 2 if cortex <= 1.5 else 3]
        axes = None
        if part.sum() >= 30:  # 1/12: of a voxel itself
            spread = np.linalg.eigvalsh(np.cov(np.argwhere(part).T) + np.eye(3) / 12)
            axes = 2 * np.sqrt(5 * spread[::-1])  # of an ellipsoid with these second moments
        lesions.append(Lesion(float(part.sum()), place, float(away), float(y), axes))
    cells = np.unique((around.place[:, mask] // CELL).astype(int), axis=1)
    return lesions, set(map(tuple, cells.T))


def rows(patients: list[tuple[list[Lesion], set[tuple[int, ...]]]]) -> dict[str, str]:
    per = [lesions for lesions, _ in patients]
    every = [lesion for lesions in per for lesion in lesions]
    volume = np.array([lesion.volume for lesion in every])
    loads = [sum(lesion.volume for lesion in lesions) / 1000 for lesions in per]
    largest = [max(lesion.volume for lesion in p) / sum(lesion.volume for lesion in p) for p in per]
    table = {
        "load, ml: median (10 %, 90 %)": quantiles(loads),
        "lesions a patient: median (10 %, 90 %)": quantiles([len(lesions) for lesions in per]),
        "largest lesion's share of the load": f"{np.mean(largest):.2f}",
    }
    for place in PLACES:
        here = np.array([lesion.place == place for lesion in every])
        logs = np.log(volume[here]) if here.any() else np.zeros(1)
        table[f"{place}: share of lesions, of load"] = f"{here.mean():.2f}, {volume[here].sum() / volume.sum():.2f}"
        table[f"{place}: median mm³, sd of log"] = f"{np.exp(np.median(logs)):.0f}, {logs.std():.2f}"
    apart = np.array([lesion.away for lesion in every if lesion.place in PLACES[2:]])
    table["others above the tentorium: mm from the ventricles"] = quantiles(apart)
    for name, big in (("30–300 mm³", False), ("over 300 mm³", True)):
        sized = [lesion for lesion in every if lesion.axes is not None and (lesion.volume > 300) == big]
        axes = np.array([lesion.axes for lesion in sized])
        full = np.array([lesion.volume for lesion in sized]) / (np.pi / 6 * axes.prod(1))
        table[f"longest : shortest axis, {name}"] = quantiles(axes[:, 0] / axes[:, 2], 1)
        table[f"middle : shortest axis, {name}"] = quantiles(axes[:, 1] / axes[:, 2], 1)
        table[f"volume : ellipsoid of its moments, {name}"] = quantiles(full, 2)
    y = np.array([lesion.y for lesion in every])
    thirds = [volume[part].sum() / volume.sum() for part in (y > 0, (y <= 0) & (y > -30), y <= -30)]
    table["load with center at y > 0, 0 to −30, < −30 mm"] = ", ".join(f"{third:.2f}" for third in thirds)
    cells, count = np.unique([cell for _, found in patients for cell in found], axis=0, return_counts=True)
    table["cells of 4 mm: share of patients at the most hit"] = f"{count.max() / len(patients):.2f}"
    table["cells of 4 mm with a lesion in any, in a third of patients"] = (
        f"{len(cells)}, {(count > len(patients) / 3).sum()}"
    )
    return table


def quantiles(values: object, digits: int = 0) -> str:
    low, middle, high = np.quantile(np.asarray(values, float), (0.1, 0.5, 0.9))
    return f"{middle:.{digits}f} ({low:.{digits}f}, {high:.{digits}f})"


if __name__ == "__main__":
    main()
