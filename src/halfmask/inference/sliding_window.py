"""Predict a whole image from overlapping windows."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Predict = Callable[[Tensor], Tensor]
"""Class probabilities (B, K, *spatial) of windows (B, C, *spatial)."""


def sliding_window(
    image: Tensor, predict: Predict, *, patch: Sequence[int], overlap: float = 0.5, batch: int = 4
) -> Tensor:
    """Class probabilities (K, *spatial) of an image (C, *spatial), from windows weighted by a Gaussian.

    Windows lie evenly and reach the borders (nnU-Net's way); an image smaller than the patch is padded
    by 0, the mean of normalized images, on both sides alike.

    Args:
        image: (C, *spatial), normalized, with three spatial axes.
        predict: two-dimensional if ``patch`` has two numbers: it is then given slices of the first axis.
        overlap: share of a window that the next one covers, in [0, 1).
        batch: windows predicted at once.

    Returns: float32 on a CPU, float16 on an accelerator, where memory counts.
    """
    if not 0 <= overlap < 1:
        raise ValueError(f"overlap lies in [0, 1), got {overlap}")
    flat = len(patch) == 2
    size = (1, *patch) if flat else tuple(patch)
    whole, inner = padded(image, size)
    weight = gaussian(size).to(image.device)
    total: Tensor | None = None
    seen = torch.zeros(whole.shape[1:], dtype=weight.dtype, device=image.device)
    for places in _grouped(_places(whole.shape[1:], size, overlap), batch):
        result = predict(_cut(whole, places, flat=flat))
        result = result.unsqueeze(2) if flat else result
        if total is None:
            kind = torch.float32 if image.device.type == "cpu" else torch.float16
            total = torch.zeros((result.shape[1], *whole.shape[1:]), dtype=kind, device=image.device)
        for place, probability in zip(places, result, strict=True):
            total[(slice(None), *place)] += (probability * weight).to(total.dtype)
            seen[place] += weight
    assert total is not None
    return (total.div_(seen.to(total.dtype)))[(slice(None), *inner)]


def windows(image: Tensor, *, patch: Sequence[int], overlap: float = 0.5, batch: int = 4) -> Iterator[Tensor]:
    """The windows (B, C, *patch) that `sliding_window` visits, each once, for who is to see the whole image.

    Each batch is spread over the image and has nearly as many windows as the others; their order is drawn, the same
    each time.

    Args:
        batch: windows in one, at most.
    """
    flat = len(patch) == 2
    size = (1, *patch) if flat else tuple(patch)
    whole, _ = padded(image, size)
    places = list(_places(whole.shape[1:], size, overlap))
    count = -(-len(places) // batch)
    for first in torch.randperm(count, generator=torch.Generator().manual_seed(0)).tolist():
        yield _cut(whole, places[first::count], flat=flat)


def mirrored(predict: Predict, flips: Sequence[bool], *, maps: bool = True) -> Predict:
    """Average predictions over all mirrorings along the allowed spatial axes.

    Args:
        maps: predictions lie where the images do, and are mirrored back; those of whole images are not.
    """
    axes = [axis + 2 for axis, allowed in enumerate(flips) if allowed]
    combinations = [c for n in range(len(axes) + 1) for c in itertools.combinations(axes, n)]

    def average(x: Tensor) -> Tensor:
        parts = (predict(x.flip(c)).flip(c) if maps else predict(x.flip(c)) for c in combinations)
        return sum(parts, torch.zeros(())) / len(combinations)

    return average


@functools.lru_cache(maxsize=4)
@torch.inference_mode(False)  # kept for later calls, which may want gradients
def gaussian(size: tuple[int, ...]) -> Tensor:
    """Weights of a window's voxels: a Gaussian of σ = side / 8, 1 in the middle, at least 1e-3."""
    weight = torch.ones(())
    for n in size:
        x = torch.arange(n, dtype=torch.float32) - (n - 1) / 2
        weight = weight[..., None] * torch.exp(-0.5 * (x / (n / 8)).square())
    return (weight / weight.max()).clamp(min=1e-3)


def _places(shape: Sequence[int], size: Sequence[int], overlap: float) -> Iterator[tuple[slice, ...]]:
    starts = []
    for n, p in zip(shape, size, strict=True):
        count = math.ceil((n - p) / max(1, int(p * (1 - overlap)))) + 1
        starts.append([round(i * (n - p) / max(count - 1, 1)) for i in range(count)])
    for corner in itertools.product(*starts):
        yield tuple(slice(c, c + p) for c, p in zip(corner, size, strict=True))


def _cut(whole: Tensor, places: Sequence[tuple[slice, ...]], *, flat: bool) -> Tensor:
    """Windows (B, C, *patch) of a padded image; slices of the first axis lose it."""
    found = torch.stack([whole[(slice(None), *place)] for place in places])
    return found.squeeze(2) if flat else found


def _grouped(places: Iterator[tuple[slice, ...]], size: int) -> Iterator[list[tuple[slice, ...]]]:
    while group := list(itertools.islice(places, size)):
        yield group


def padded(image: Tensor, size: Sequence[int]) -> tuple[Tensor, tuple[slice, ...]]:
    """The image padded to at least ``size``, and where it lies in it."""
    pads, inner = [], []
    for n, p in zip(image.shape[1:], size, strict=True):
        before = max(0, p - n) // 2
        pads.append((before, max(0, p - n) - before))
        inner.append(slice(before, before + n))
    flat = [v for pad in reversed(pads) for v in pad]
    return (F.pad(image, flat) if any(flat) else image), tuple(inner)
