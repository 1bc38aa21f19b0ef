"""Registration and skull stripping against what a data set's publishers did, or against made-up heads, as a table.

    python benchmarks/brain.py DATA [--moves 8]
    python benchmarks/brain.py --heads 4

With ``--heads`` raw heads are made up, whose brains and transforms are known: the Dice of the brain, the mean distance
over the brain between where FLAIR was put and where it belongs, and degrees between the rotation to the template and
that of the best affine transform.

Otherwise DATA holds stripped, registered scans CASE_T1 and CASE_FLAIR. Four questions:

* FLAIR to T1: they lie as the publishers put them. FLAIR is moved by known rigid transforms (up to 15 mm and 10°) and
  registered again; the error is the mean distance over the brain between where that puts it and where it was.
  "Unmoved" is what registration changes where nothing was moved.
* T1 to the template: by how much our rigid transform differs from the publishers' place in MNI space, which they
  reached by another template and perhaps by scaling.
* Nodded: the most, over 20, −20 and 35°, by which that place changes when T1 is turned first about its left-right axis.
* Skull: Dice of the mask found in the stripped T1 with the publishers' brain, and the shares of it that were lost and
  added. The scan has no skull any more, so this asks only whether brain is cut off or background added.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from halfmask.brain.image import TURN, as_array, as_image, isotropic, like
from halfmask.brain.reference import template
from halfmask.brain.registration import Registration, align, center_of, middle_of, place
from halfmask.brain.skull import brain_mask, not_air
from halfmask.brain.subject import FINE, ROUGH
from halfmask.data.formats import read
from halfmask.data.layouts import read_index
from halfmask.data.phantom import draw_head
from halfmask.data.volume import Grid


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--heads", type=int, help="made-up ones, in place of DATA")
    parser.add_argument("--moves", type=int, default=8, help="for each case")
    options = parser.parse_args()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    if options.heads:
        return made_up(options.heads)
    print("| case | FLAIR unmoved, mm | FLAIR moved by, mm | error after, mm: median | most | T1 to template, mm | ° "
          "| nodded, mm | skull, Dice | lost | added |\n|---|---|---|---|---|---|---|---|---|---|---|")  # fmt: skip
    for case in read_index(options.data, channels={"T1": "T1", "FLAIR": "FLAIR"}).cases:
        t1, flair = (scan(path) for path in case.images)
        brain = not_air(t1)
        points = inside(brain)
        unmoved = error(aligned(t1, flair), sitk.Euler3DTransform(), points)
        moves = [drawn(np.random.default_rng((n, 7)), center_of(t1)) for n in range(options.moves)]
        errors = [error(aligned(t1, moved(flair, move)), move, points) for move in moves]
        apart = [error(sitk.Euler3DTransform(), move, points) for move in moves]
        placed = to_template(t1, brain)
        places = inside(template(1.0).mask)
        nodded = max(error(found, placed.transform, places) for found in map(nod(t1, brain), (20, -20, 35)))
        found = as_array(brain_mask(t1, "deepbet")) > 0
        truth = as_array(brain) > 0
        dice = 2 * (found & truth).sum() / (found.sum() + truth.sum())
        lost, added = (truth & ~found).sum() / truth.sum(), (found & ~truth).sum() / truth.sum()
        print(f"| {case.name} | {unmoved:.2f} | {np.median(apart):.1f} | {np.median(errors):.2f} | {max(errors):.2f} | "
              f"{error(placed.transform, sitk.Euler3DTransform(), places):.1f} | "
              f"{placed.degrees:.1f} | {nodded:.2f} | {dice:.3f} | {lost:.1%} | {added:.1%} |", flush=True)  # fmt: skip


def made_up(count: int) -> None:
    print("| head | brain, Dice | FLAIR was off by, mm | error after, mm | rotation to the template, ° off |\n"
          "|---|---|---|---|---|")  # fmt: skip
    for number in range(count):
        head = draw_head(number, seed=7)
        t1, flair = (as_image(s.image.astype(np.float32), Grid(s.image.shape, s.affine)) for s in head.scans.values())
        truth, points = head.brain > 0, inside(like(head.brain, t1))
        mask = brain_mask(t1, "deepbet")
        found = as_array(mask) > 0
        to_flair = in_itk(np.linalg.inv(head.flair_to_t1))
        turn = np.linalg.inv(np.reshape(to_template(t1, mask).transform.GetMatrix(), (3, 3)))
        u, _, v = np.linalg.svd(head.t1_to_template[:3, :3])
        apart = np.degrees(np.arccos(np.clip((np.trace((TURN @ turn @ TURN).T @ u @ v) - 1) / 2, -1, 1)))
        dice = 2 * (found & truth).sum() / (found.sum() + truth.sum())
        before, after = (error(way, to_flair, points) for way in (sitk.Euler3DTransform(), aligned(t1, flair)))
        print(f"| {number} | {dice:.3f} | {before:.1f} | {after:.2f} | {apart:.1f} |", flush=True)


def in_itk(matrix: np.ndarray) -> sitk.AffineTransform:
    """A (4, 4) in our axes as a transform in ITK's."""
    transform = sitk.AffineTransform(3)
    transform.SetMatrix((TURN @ matrix[:3, :3] @ TURN).ravel().tolist())
    transform.SetTranslation((TURN @ matrix[:3, 3]).tolist())
    return transform


def scan(path: Path) -> sitk.Image:
    array, grid = read(path)
    return as_image(array[0].astype(np.float32), grid)


def drawn(rng: np.random.Generator, center: tuple[float, float, float]) -> sitk.Euler3DTransform:
    """A rigid move about a center."""
    angles = np.radians(rng.uniform(-10, 10, 3))
    return sitk.Euler3DTransform(center, *angles.tolist(), rng.uniform(-15, 15, 3).tolist())


def moved(image: sitk.Image, move: sitk.Euler3DTransform) -> sitk.Image:
    """The image so that ``move`` leads from where things were to where they are; by its header, not its voxels."""
    image = sitk.Image(image)
    matrix = np.reshape(move.GetMatrix(), (3, 3))
    image.SetOrigin(move.TransformPoint(image.GetOrigin()))
    image.SetDirection((matrix @ np.reshape(image.GetDirection(), (3, 3))).ravel().tolist())
    return image


def aligned(fixed: sitk.Image, moving: sitk.Image) -> sitk.Transform:
    return align(isotropic(fixed, FINE), moving).transform


def to_template(t1: sitk.Image, brain: sitk.Image) -> Registration:
    fixed, moving = isotropic(template(1.0).image, ROUGH), isotropic(sitk.Mask(t1, brain), ROUGH)
    return place(fixed, moving, (middle_of(template(1.0).mask), middle_of(brain)))


def nod(t1: sitk.Image, brain: sitk.Image) -> Callable[[float], sitk.Transform]:
    """By degrees: from points of the template to points of T1, found when T1 was turned so far."""

    def found(degrees: float) -> sitk.Transform:
        move = sitk.Euler3DTransform(middle_of(brain), np.radians(degrees).item(), 0.0, 0.0)
        placed = to_template(moved(t1, move), moved(brain, move))
        return sitk.CompositeTransform([move.GetInverse(), placed.transform])  # the last goes first

    return found


def inside(mask: sitk.Image) -> list[tuple[float, float, float]]:
    """A thousand points of the brain, mm."""
    where = np.argwhere(as_array(mask) > 0)
    chosen = where[:: max(1, len(where) // 1000)].tolist()
    return [mask.TransformContinuousIndexToPhysicalPoint(p) for p in chosen]


def error(found: sitk.Transform, truth: sitk.Transform, points: list[tuple[float, float, float]]) -> float:
    """The mean distance over points, mm."""
    apart = [np.subtract(found.TransformPoint(p), truth.TransformPoint(p)) for p in points]
    return float(np.linalg.norm(apart, axis=1).mean())


if __name__ == "__main__":
    main()
