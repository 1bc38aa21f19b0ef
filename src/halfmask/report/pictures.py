"""Pictures of one case: the image, and each run's hits, misses and false alarms on it, in planes and closer."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from halfmask.data.formats import read, stem, suffix
from halfmask.data.volume import Grid
from halfmask.report.gather import Entry
from halfmask.report.markup import Markup, tag
from halfmask.report.overlay import HIT, MISS, NAMES, NOTHING, drawn, marks
from halfmask.report.planes import SEEN_FROM, Plane, closer, drawn_shape, planes

Frame = tuple[float, float, float, float]


@dataclass(frozen=True)
class Row:
    """What one line of pictures shows: for each plane the whole and a closer look; and what is to be defined once."""

    title: str
    cells: list[Markup]
    definitions: list[Markup]
    note: str = ""


def case_pictures(case: str, entries: Sequence[Entry], key: str) -> list[Row]:
    """The image of a case first, then each run; the planes are chosen by the errors of the first run.

    Args:
        entries: at least one, the first noted its images and labels.
        key: a prefix for ids, of this case alone.

    Raises:
        ValueError: the image, the label or the first run's mask cannot be read.
    """
    leader = entries[0]
    image, grid = case_image(leader, case)
    label = _label(leader, case, grid)
    found = [_marks(leader, case, label, grid)]
    others: list[np.ndarray | str] = []
    for entry in entries[1:]:
        try:
            others.append(_marks(entry, case, label, grid))
        except ValueError as e:
            others.append(str(e))
    errors = found[0] * (found[0] >= MISS)
    shown = planes(grid, [errors, found[0]])
    frames = [_frame(plane.of(found[0]), plane) for plane in shown]
    rows = [_image_row(image, shown, frames, key)]
    for n, (entry, marked) in enumerate(zip(entries, [*found, *others], strict=True)):
        if isinstance(marked, str):
            rows.append(Row(entry.name, [], [], marked))
        else:
            rows.append(_run_row(entry.name, marked, shown, frames, key, n))
    return rows


def case_image(entry: Entry, case: str) -> tuple[np.ndarray, Grid]:
    """8-bit gray (*spatial) or color (*spatial, 3), its grid; axes as `SEEN_FROM` for scans."""
    files = (entry.prediction.get("images") or {}).get(case)
    if not files:
        raise ValueError("the masks do not tell of which images they are; predict anew")
    array, grid = read(Path(files[0]))
    array, grid = grid.orient(array, SEEN_FROM), grid.oriented(SEEN_FROM)
    color = not grid.scan and len(array) == 3
    seen = np.moveaxis(array, 0, -1) if color else array[0]
    return _eight_bit(seen), grid


def _eight_bit(array: np.ndarray) -> np.ndarray:
    """Gray values between the 0.5 and 99.5 percentiles; 8-bit pictures stay as they are."""
    if array.dtype == np.uint8:
        return array
    finite = np.nan_to_num(array.astype(np.float32))
    low, high = np.percentile(finite, (0.5, 99.5))
    return (np.clip((finite - low) / max(high - low, 1e-9), 0, 1) * 255).astype(np.uint8)


def _label(entry: Entry, case: str, grid: Grid) -> np.ndarray:
    if entry.evaluation is None or case not in entry.evaluation.files:
        raise ValueError("it is not known where its label lies; evaluate anew")
    return oriented(entry.evaluation.files[case], grid)


def _marks(entry: Entry, case: str, label: np.ndarray, grid: Grid) -> np.ndarray:
    if entry.evaluation is None:
        raise ValueError("not evaluated")
    note = entry.evaluation
    masks = [p for p in note.masks.iterdir() if suffix(p) and stem(p) == case] if note.masks.is_dir() else []
    if not masks:
        raise ValueError(f"{note.masks} holds no mask of it")
    return marks(oriented(masks[0], grid), label, note.structures, note.ignore)


def oriented(file: Path, grid: Grid) -> np.ndarray:
    """The label or mask (*spatial) in ``file``, which must have the shape of the (oriented) image."""
    array, own = read(file, label=True)
    turned: np.ndarray = own.orient(array, SEEN_FROM)[0]
    if turned.shape != grid.shape:
        raise ValueError(f"{file} has shape {turned.shape}, the image {grid.shape}")
    return turned


def _image_row(image: np.ndarray, shown: Sequence[Plane], frames: Sequence[Frame], key: str) -> Row:
    definitions, cells = [], []
    for p, (plane, frame) in enumerate(zip(shown, frames, strict=True)):
        flat = plane.of(image)
        size = _size(flat, plane)
        picture = Image.fromarray(np.ascontiguousarray(flat))
        limit = drawn_shape(flat.shape, plane.spacing)
        if limit[0] < flat.shape[0] and limit[1] < flat.shape[1]:
            picture = picture.resize(limit[::-1], Image.Resampling.BOX)
        definitions.append(_define(f"{key}-i{p}", picture, size))
        cells.append(_figure(_caption(plane), [f"{key}-i{p}"], size, frame, "the image"))
    return Row("Image", cells, definitions)


def _run_row(
    name: str, marked: np.ndarray, shown: Sequence[Plane], frames: Sequence[Frame], key: str, number: int
) -> Row:
    definitions, cells = [], []
    for p, (plane, frame) in enumerate(zip(shown, frames, strict=True)):
        flat = plane.of(marked)
        size, own = _size(flat, plane), f"{key}-r{number}-{p}"
        definitions.append(_define(own, drawn(flat, plane.spacing), size))
        counts = ", ".join(f"{100 * (flat == m).mean():.1f} % {NAMES[m]}" for m in range(HIT, len(NAMES) + 1))
        cells.append(_figure(_caption(plane), [f"{key}-i{p}", own], size, frame, f"{name}: {counts} of the plane"))
    return Row(name, cells, definitions)


def _frame(flat: np.ndarray, plane: Plane) -> Frame:
    """Closer on what the label has there; if it has nothing, on what was found."""
    true = (flat == HIT) | (flat == MISS)
    return closer(true if true.any() else flat != NOTHING, plane.spacing)


def _size(flat: np.ndarray, plane: Plane) -> tuple[float, float]:
    """Height and width in mm."""
    return flat.shape[0] * plane.spacing[0], flat.shape[1] * plane.spacing[1]


def _caption(plane: Plane) -> str:
    return plane.name if plane.count == 1 else f"{plane.name}, {plane.index + 1} of {plane.count}"


def _define(name: str, picture: Image.Image, size: tuple[float, float]) -> Markup:
    """A picture of so many mm, to be used by its name wherever it is shown."""
    file = io.BytesIO()
    if picture.mode == "RGB":
        picture.save(file, "JPEG", quality=88)
    else:
        picture.save(file, "PNG", optimize=True)
    kind = "jpeg" if picture.mode == "RGB" else "png"
    data = f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
    return tag("image", id=name, href=data, width=size[1], height=size[0], preserveAspectRatio="none")


def _figure(caption: str, layers: Sequence[str], size: tuple[float, float], frame: Frame, told: str) -> Markup:
    """The whole plane with a frame around what is shown closer beside it."""
    x, y, w, h = frame
    uses = [tag("use", href=f"#{layer}") for layer in layers]
    line = f"{max(size) / 150:.3g}"
    outline = [
        tag("rect", x=x, y=y, width=w, height=h, class_=f"frame {kind}", stroke_width=line)
        for kind in ("under", "over")
    ]  # on light images and on dark ones
    whole = tag("svg", tag("title", f"{told}; {caption}"), uses, outline, viewBox=f"0 0 {size[1]:.4g} {size[0]:.4g}",
                role="img")  # fmt: skip
    near = tag("svg", tag("title", f"{told}; {caption}, closer"), uses, viewBox=f"{x:.4g} {y:.4g} {w:.4g} {h:.4g}",
               role="img")  # fmt: skip
    return tag("figure", tag("div", whole, near, class_="pair"), tag("figcaption", caption))
