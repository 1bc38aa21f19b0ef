"""What a scanner shows of a subject: contrast, resolution, bias field, noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from scipy import ndimage

from halfmask.data.phantom.anatomy import Tissues
from halfmask.data.phantom.healthy import VIEW, smooth
from halfmask.data.phantom.template import Field

CHANNELS = ("T1", "FLAIR")


@dataclass(frozen=True)
class Scanner:
    """Attributes:
    contrast: brightness by channel and tissue, that of white matter 1.
    noise: its deviation, least and most.
    bias: deviation of the logarithm of the bias field.
    blur: full width at half maximum in mm, along each axis.
    level: brightness of white matter in the file, least and most.
    center: logarithm of how much brighter the middle of the view is than a place 80 mm away, as in high fields.
    lesions: which model of `LESIONS` its subjects have.
    """

    contrast: Mapping[str, Mapping[str, float]]
    noise: tuple[float, float]
    bias: float
    blur: tuple[float, float, float]
    level: tuple[float, float]
    center: float = 0
    lesions: str = "few"


SCANNERS = {
    "A": Scanner(
        contrast={
            "T1": {"fluid": 0.24, "gray": 0.70, "white": 1.0, "lesion": 0.76, "spot": 0.76},
            "FLAIR": {"fluid": 0.15, "gray": 1.18, "white": 1.0, "lesion": 1.50, "spot": 1.46},
        },
        noise=(0.03, 0.06),
        bias=0.10,
        blur=(1.0, 1.0, 1.0),
        level=(500, 1000),
    ),
    "B": Scanner(
        contrast={
            "T1": {"fluid": 0.32, "gray": 0.75, "white": 1.0, "lesion": 0.80, "spot": 0.82},
            "FLAIR": {"fluid": 0.30, "gray": 1.22, "white": 1.0, "lesion": 1.50, "spot": 1.48},
        },
        noise=(0.04, 0.08),
        bias=0.14,
        blur=(1.5, 1.5, 4.0),
        level=(200, 500),
    ),
    "C": Scanner(
        contrast={
            "T1": {"fluid": 0.42, "gray": 0.82, "white": 1.0, "lesion": 0.86, "spot": 0.88},
            "FLAIR": {"fluid": 0.80, "gray": 1.15, "white": 1.0, "lesion": 1.40, "spot": 1.38},
        },
        noise=(0.04, 0.07),
        bias=0.20,
        blur=(2.0, 2.0, 3.0),
        level=(100, 300),
    ),
    "D": Scanner(
        contrast={
            "T1": {"fluid": 0.24, "gray": 0.70, "white": 1.0, "lesion": 0.76, "spot": 0.76},
            "FLAIR": {"fluid": 2.20, "gray": 1.35, "white": 1.0, "lesion": 1.65, "spot": 1.60},
        },
        noise=(0.03, 0.06),
        bias=0.10,
        blur=(1.0, 1.0, 1.0),
        level=(500, 1000),
    ),
    "3T": Scanner(
        contrast={
            "T1": {"fluid": 0.26, "gray": 0.70, "white": 1.0, "lesion": 0.74, "spot": 0.74},
            "FLAIR": {"fluid": 0.18, "gray": 1.20, "white": 1.0, "lesion": 1.48, "spot": 1.46},
        },
        noise=(0.03, 0.06),
        bias=0.10,
        blur=(1.1, 1.1, 2.0),
        level=(300, 900),
        lesions="measured",
    ),
    "7T": Scanner(
        contrast={
            "T1": {"fluid": 0.10, "gray": 0.58, "white": 1.0, "lesion": 0.62, "spot": 0.62},
            "FLAIR": {"fluid": 0.10, "gray": 1.08, "white": 1.0, "lesion": 1.36, "spot": 1.34},
        },
        noise=(0.015, 0.035),
        bias=0.25,
        blur=(0.75, 0.75, 0.75),
        level=(600, 1500),
        center=0.8,
        lesions="measured",
    ),
}
"""Made-up ones. B is older than A. C is of low field: little contrast, fluid that is not dark on FLAIR, an uneven
field, noise and blur. D is as A, but has another sequence, T2, where FLAIR belongs. 3T and 7T are of today, with
lesions as people have them: at 7T the picture is sharper, noise half, fluid dark, gray matter darker on T1 and more
like white on FLAIR, and the middle of the head much brighter than its rim.

In scans of people with multiple sclerosis, FLAIR shows lesions at 1.34 times white matter in the median (1.15 to 1.55),
T1 at 0.83; those of A and B are a little brighter before blurring."""


def picture(rng: Generator, scanner: Scanner, channel: str, tissues: Tissues) -> Field:
    """One channel, (*spatial), 0 outside the brain."""
    shape = tissues.gray.shape
    image = contrast(rng, scanner, channel, tissues)
    width = np.asarray(scanner.blur) / 2.355 * shape / VIEW
    image = ndimage.gaussian_filter(image, width, mode="nearest")
    image *= np.exp(scanner.bias * smooth(rng, shape, 3))
    if scanner.center:
        image *= np.exp(-scanner.center * _square(shape))
    noise = rng.normal(0, rng.uniform(*scanner.noise), (2, *shape))
    image = rng.uniform(*scanner.level) * np.hypot(image + noise[0], noise[1])  # Rician
    return np.where(tissues.brain > 0.5, image, 0)


def contrast(rng: Generator, scanner: Scanner, channel: str, tissues: Tissues) -> Field:
    """How bright each voxel of the brain is, (*spatial), white matter about 1, before the scanner blurs it."""
    shape = tissues.gray.shape
    bright = {tissue: value * rng.normal(1, 0.04) for tissue, value in scanner.contrast[channel].items()}
    image = sum(getattr(tissues, tissue) * bright[tissue] for tissue in ("gray", "white", "fluid"))
    image = image * (1 + 0.03 * smooth(rng, shape, 10))
    for share, tissue in ((tissues.rim, "spot"), (tissues.lesion, "lesion"), (tissues.spot, "spot")):
        image = image + share * (bright[tissue] * (1 + 0.1 * smooth(rng, shape, 18)) - image)
    return np.clip(image, 0, None) ** rng.uniform(0.9, 1.15)


def _square(shape: Sequence[int]) -> Field:
    """Of the distance from the middle of the view, in units of 80 mm, (*spatial)."""
    axes = [((np.arange(n) + 0.5) / n - 0.5) * view / 80 for n, view in zip(shape, VIEW, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
    return x**2 + y**2 + z**2
