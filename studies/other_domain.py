"""A second domain for a data set that has one: half of its cases as another scanner, or camera, would show them.

    python studies/other_domain.py scanner Task04_Hippocampus hippocampus-domains
    python studies/other_domain.py camera isic isic-domains

Writes a CSV data set: cases drawn by lot stay as they are (domain "original"), the others get changed images (domain
"changed"); labels, groups and the data set's own split stay. Only the changed images are written.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from halfmask.data.atomic import atomic
from halfmask.data.formats import read, suffix, write_like
from halfmask.data.formats.names import PICTURES
from halfmask.data.layouts import read_index
from halfmask.progress import Progress


def scanner(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A scan (*spatial) with another contrast, an uneven field, blur and noise, in 12 bits."""
    low, high = np.percentile(image, [1, 99])
    x = np.clip((image - low) / max(high - low, 1e-6), 0, 1)
    x = np.interp(x, [0, 0.25, 0.5, 0.75, 1], [0.45, 0.2, 0.35, 0.8, 0.7])  # fluid is bright, white matter pale
    x = ndimage.gaussian_filter(x, 0.8)
    x = x * np.exp(ndimage.zoom(rng.normal(0, 0.2, (3, 3, 3)), np.array(x.shape) / 3, order=2))
    x = np.hypot(x + rng.normal(0, 0.06, x.shape), rng.normal(0, 0.06, x.shape))  # Rician
    return np.clip(x * rng.uniform(1000, 2500), 0, 4095).astype(np.uint16)


def camera(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A picture (H, W, 3), uint8, in other colors and less sharp, of another camera and light each time a little."""
    mix = np.array([[0.35, 0.10, 0.55], [0.30, 0.50, 0.20], [0.60, 0.25, 0.15]]) + rng.normal(0, 0.03, (3, 3))
    x = (image / 255.0) ** rng.uniform(1.3, 1.8) @ mix.T
    x = ndimage.gaussian_filter(x, (2.0, 2.0, 0)) + rng.normal(0, 0.02, x.shape)
    return np.clip(255 * x, 0, 255).astype(np.uint8)


CHANGES: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {"scanner": scanner, "camera": camera}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("change", choices=CHANGES)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    index = read_index(given.data)
    changed = {
        n for n, drawn in enumerate(np.random.default_rng(given.seed).permutation(len(index.cases))) if drawn % 2
    }
    rows = [["case", "image", "label", "group", "domain", "split"]]
    with Progress("change", len(index.cases)) as progress:
        for number, case in enumerate(index.cases):
            image = case.images[0].resolve()
            if number in changed:
                rng = np.random.default_rng((given.seed, number))
                image = written(given.out / "images" / case.name, image, CHANGES[given.change], rng)
            label = "" if case.label is None else str(case.label.resolve())
            domain = "changed" if number in changed else "original"
            rows.append([case.name, str(image), label, case.group or "", domain, case.split or ""])
            progress.advance()
    with atomic(given.out / "cases.csv") as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    print(f"{len(index.cases)} cases in {given.out / 'cases.csv'}, {len(changed)} of them changed")


def written(
    path: Path, image: Path, change: Callable[[np.ndarray, np.random.Generator], np.ndarray], rng: np.random.Generator
) -> Path:
    """The changed image, written in the format of the other, pictures as PNG."""
    if suffix(image) not in PICTURES:
        return write_like(path, change(read(image)[0][0], rng), image).resolve()
    with Image.open(image) as opened:
        pixels = np.asarray(opened.convert("RGB"))
    path = path.with_suffix(".png")
    with atomic(path) as partial:
        Image.fromarray(change(pixels, rng)).save(partial, format="png")
    return path.resolve()


if __name__ == "__main__":
    main()
