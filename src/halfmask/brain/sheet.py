"""A page to look at for each subject: every modality as scanned, registered, and as it came out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from PIL import Image, ImageDraw, ImageFont

from halfmask.brain.image import as_array, grid_of, isotropic, resampled
from halfmask.brain.reference import Reference
from halfmask.brain.subject import Subject
from halfmask.data.atomic import atomic
from halfmask.report.planes import SEEN_FROM, planes

PIXELS = 208
"""Of a panel's side."""
MILLIMETERS = 230.0
"""That a panel shows."""
GAP, LINE = 6, 18
BRAIN, REFERENCE = (255, 176, 0), (86, 180, 233)
"""Of the outlines; amber and sky blue."""


@dataclass(frozen=True)
class View:
    """One block of three planes.

    Attributes:
        title: what it shows.
        image: its gray values.
        outlines: masks on the same grid, each with its color.
        center: the mask that the planes are laid through.
    """

    title: str
    image: sitk.Image
    outlines: Sequence[tuple[sitk.Image, tuple[int, int, int]]]
    center: sitk.Image


def write_sheet(
    path: Path, case: str, subject: Subject, results: dict[str, sitk.Image], reference: Reference | None
) -> None:
    """Write the page as PNG.

    Args:
        results: the modalities normalized and stripped, on the grid of ``subject.brain``.
    """
    rows = [_views(name, subject, results[name], reference) for name in subject.scans]
    notes = [f"suspicious: {flag}" for flag in subject.flags] or ["nothing stands out"]
    head = [f"{case}: brain {subject.figures['milliliters']:.0f} ml", *notes]
    columns = 3 * len(rows[0])
    width = columns * (PIXELS + GAP) + 3 * len(rows[0]) + GAP
    top = LINE * len(head) + 2 * GAP
    page = Image.new("RGB", (width, top + len(rows) * (PIXELS + LINE + 2 * GAP)), (16, 16, 16))
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(14)
    for n, line in enumerate(head):
        color = (255, 120, 90) if line.startswith("suspicious") else (235, 235, 235)
        pen.text((GAP, GAP + n * LINE), line, color, font)
    for r, row in enumerate(rows):
        y = top + r * (PIXELS + LINE + 2 * GAP)
        for b, view in enumerate(row):
            x = GAP + b * (3 * (PIXELS + GAP) + 3)
            pen.text((x, y), view.title, (190, 190, 190), font)
            for k, panel in enumerate(_panels(view)):
                page.paste(panel, (x + k * (PIXELS + GAP), y + LINE))
    with atomic(path) as partial:
        page.save(partial)


def _views(name: str, subject: Subject, result: sitk.Image, reference: Reference | None) -> list[View]:
    """As scanned, with the brain where the scanners' coordinates put it; registered; and the result."""
    scanned = isotropic(subject.scans[name], 1.0)
    before = resampled(subject.mask, scanned, interpolation=sitk.sitkNearestNeighbor)
    template = [(reference.mask, REFERENCE)] if reference else []
    brain, even = (subject.brain, BRAIN), ", bias corrected" if name in subject.fields else ""
    return [
        View(f"{name} as scanned, brain by the scanner's coordinates", scanned, [(before, BRAIN)], before),
        View(f"{name} registered{even}", subject.images[name], [brain], subject.brain),
        View(f"{name} result" + (", and the reference's outline" if template else ""), result, [*template, brain],
             subject.brain),
    ]  # fmt: skip


def _panels(view: View) -> list[Image.Image]:
    """Axial, coronal and sagittal, through where the mask is largest."""
    grid = grid_of(view.image)
    turn = lambda image: grid.orient(as_array(image), SEEN_FROM)
    volume, center = turn(view.image), turn(view.center)
    low, high = np.percentile(volume[center > 0] if center.any() else volume, (0.5, 99.5))
    high = high * 1.15 if high > 0 else high  # fat and marrow may be brighter than any brain
    gray = lambda plane: np.clip((plane - low) / max(high - low, 1e-9), 0, 1) * 255
    masks = [(turn(mask) > 0, color) for mask, color in view.outlines]
    return [
        _panel(
            gray(plane.of(volume)), [(plane.of(mask), color) for mask, color in masks], plane.of(center), plane.spacing
        )
        for plane in planes(grid.oriented(SEEN_FROM), [center])
    ]


def _panel(gray: np.ndarray, masks: Sequence[tuple[np.ndarray, tuple[int, int, int]]], center: np.ndarray,
           spacing: tuple[float, float]) -> Image.Image:  # fmt: skip
    """A plane (h, w) at its true size, with outlines, in the middle of a square."""
    scale = PIXELS / MILLIMETERS
    size = [max(1, round(n * s * scale)) for n, s in zip(gray.shape[::-1], spacing[::-1], strict=True)]
    picture = Image.fromarray(gray.astype(np.uint8)).resize(size, Image.Resampling.BILINEAR).convert("RGB")
    pixels = np.array(picture)
    for mask, color in masks:
        pixels[
            _outline(np.array(Image.fromarray(mask.astype(np.uint8)).resize(size, Image.Resampling.NEAREST)) > 0)
        ] = color
    where = np.argwhere(center) if center.any() else np.array([[0, 0], np.array(center.shape) - 1])
    middle = (where.min(0) + where.max(0) + 1) / 2 * spacing * scale
    panel = Image.new("RGB", (PIXELS, PIXELS))
    panel.paste(Image.fromarray(pixels), (round(PIXELS / 2 - middle[1]), round(PIXELS / 2 - middle[0])))
    return panel


def _outline(inside: np.ndarray) -> np.ndarray:
    """The pixels of a mask that have one outside beside them."""
    padded = np.pad(inside, 1)
    whole = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return inside & ~whole
