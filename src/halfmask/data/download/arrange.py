"""From unpacked files to a data set that `halfmask check` reads: one function a layout, called by its name.

Each gets the folder, in which the files of a part lie under its name (train/, val/, test/) where there are parts.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

from halfmask.data.atomic import write_text
from halfmask.data.download.table import DataSet

Rows = Sequence[dict[str, str]]


def lift(folder: Path, data_set: DataSet) -> None:
    """A data set already, in a folder of the archive's own: its content goes up."""
    inner = [p for p in folder.iterdir() if p.name[0] != "."]
    if len(inner) == 1 and inner[0].is_dir():
        last = inner[0].rename(folder / ".lifted")  # it may hold a folder of its own name
        for path in last.iterdir():
            path.rename(folder / path.name)
        last.rmdir()


def isic(folder: Path, data_set: DataSet) -> None:
    """ISIC_0000000.jpg, ISIC_0000000_segmentation.png and, if there is one, a table of diagnoses a part.

    Of melanoma and seborrheic keratosis the table says 1 or 0; what is neither is a nevus.
    """
    rows = []
    for part in ("train", "val", "test"):
        masks = {p.stem.removesuffix("_segmentation"): p for p in (folder / part).rglob("*_segmentation.png")}
        told = {
            row["image_id"]: row for table in (folder / part).glob("*.csv") for row in _read(table) if "melanoma" in row
        }
        for image in sorted((folder / part).rglob("ISIC_*.jpg")):
            row = {"case": image.stem, "image": _path(image, folder), "split": part}
            row["label"] = _path(masks[image.stem], folder) if image.stem in masks else ""
            if diagnoses := told.get(image.stem):
                columns = ("melanoma", "seborrheic_keratosis")
                row |= {name: str(round(float(diagnoses[name]))) for name in columns}
                row["class"] = next((name.replace("_", " ") for name in columns if row[name] == "1"), "nevus")
            rows.append(row)
    _write(rows, folder)
    write_text(folder / "dataset.yaml", "labels: {background: 0, lesion: 255}\n")


def promise12(folder: Path, data_set: DataSet) -> None:
    """Case00.mhd and Case00_segmentation.mhd."""
    masks = {p.stem.removesuffix("_segmentation"): p for p in folder.rglob("*_segmentation.mhd")}
    images = sorted(p for p in folder.rglob("Case*.mhd") if p not in masks.values())
    label = lambda image: _path(masks[image.stem], folder) if image.stem in masks else ""
    _write([{"case": p.stem, "image": _path(p, folder), "label": label(p)} for p in images], folder)
    write_text(folder / "dataset.yaml", "channels: [T2]\nlabels: {background: 0, prostate: 1}\n")


def folders(folder: Path, data_set: DataSet) -> None:
    """Pictures to tell apart, in a folder a class."""
    images = sorted(p for p in folder.rglob("*.jpeg") if p.name[0] != ".")
    row = lambda p: {"case": f"{p.parent.name}_{p.stem}", "image": _path(p, folder), "class": p.parent.name}
    _write([row(p) for p in images], folder)


def medmnist(folder: Path, data_set: DataSet) -> None:
    """An npz with the arrays PART_images (N, H, W) or (N, H, W, 3) of bytes and PART_labels (N, 1)."""
    import numpy as np
    from PIL import Image

    (archive,) = folder.glob("*.npz")
    (folder / "images").mkdir()
    rows = []
    with np.load(archive, allow_pickle=False) as arrays:
        for part in ("train", "val", "test"):
            images, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"].ravel()
            for number, (image, label) in enumerate(zip(images, labels, strict=True)):
                name = f"{part}_{number:05d}"
                Image.fromarray(image).save(folder / "images" / f"{name}.png")
                rows.append({"case": name, "image": f"images/{name}.png", "split": part,
                             "class": data_set.classes[int(label)]})  # fmt: skip
    archive.unlink()
    _write(rows, folder)


LAYOUTS: dict[str, Callable[[Path, DataSet], None]] = {
    f.__name__: f for f in (lift, isic, promise12, folders, medmnist)
}


def _path(file: Path, folder: Path) -> str:
    return file.relative_to(folder).as_posix()


def _read(table: Path) -> Rows:
    with open(table, encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def _write(rows: Rows, folder: Path) -> None:
    if not rows:
        raise ValueError("the files that came hold no image under the names that are expected; nothing was laid out")
    columns = dict.fromkeys(column for row in rows for column in row)
    with open(folder / "cases.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(columns), restval="")
        writer.writeheader()
        writer.writerows(rows)
