"""What whole images show, as a table of probabilities."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from halfmask.data.formats import is_dicom, write_like
from halfmask.data.index import Case
from halfmask.data.plan import Plan
from halfmask.data.preprocess import Prepared, preprocess, read_case
from halfmask.inference.predict import check_like
from halfmask.inference.sliding_window import mirrored, padded
from halfmask.progress import Progress, say

BATCH = {2: 32, 3: 4}


@dataclass(frozen=True)
class ClassPredictor:
    """A trained network that tells images apart, with all that its use needs.

    Attributes:
        predict: probabilities (B, K) of normalized images (B, C, *patch), on ``device``.
        look: for such images maps (B, *patch) by kind, of where the network looked; None if nobody asks.
        flips: average over the mirrorings that the plan allows.
    """

    predict: Callable[[Tensor], Tensor]
    plan: Plan
    device: torch.device
    flips: bool = False
    look: Callable[[Tensor], Mapping[str, Tensor]] | None = None

    @torch.inference_mode()
    def probability(self, images: Iterable[np.ndarray]) -> np.ndarray:
        """(N, K), float64, of normalized prepared images (C, *shape), which are held a batch at a time."""
        predict = mirrored(self.predict, self.plan.flips, maps=False) if self.flips else self.predict
        found = [np.zeros((0, len(self.plan.labels)))]
        for part in _batches(images, BATCH[self.plan.dims]):
            batch = torch.stack([self.framed(image) for image in part]).to(self.device)
            found.append(predict(batch).double().cpu().numpy())
        return np.concatenate(found)

    def saliency(self, images: Sequence[np.ndarray]) -> dict[str, list[np.ndarray]]:
        """By kind of map, for each of some prepared images (C, *shape) one (*shape); see `inference.saliency`."""
        if self.look is None:
            return {}
        size = (*(1,) * (3 - self.plan.dims), *self.plan.patch)
        found = self.look(torch.stack([self.framed(image) for image in images]).to(self.device))
        inner = [padded(torch.from_numpy(image), size)[1] for image in images]
        flat = {kind: (m[:, None] if self.plan.dims == 2 else m).cpu().numpy() for kind, m in found.items()}
        return {kind: [m[place] for m, place in zip(each, inner, strict=True)] for kind, each in flat.items()}

    def framed(self, image: np.ndarray) -> Tensor:
        """A prepared image (C, *shape) in the middle of the patch, (C, *patch)."""
        size = (*(1,) * (3 - self.plan.dims), *self.plan.patch)
        whole = padded(torch.from_numpy(image), size)[0]
        return whole.squeeze(1) if self.plan.dims == 2 else whole


@dataclass(frozen=True)
class Told:
    """What was told of some cases.

    Attributes:
        names: of the cases that could be read.
        probability: (N, K) of their classes.
        failed: what was wrong with the others.
    """

    names: list[str]
    probability: np.ndarray
    failed: list[str]


def classify_cases(cases: Sequence[Case], predictor: ClassPredictor, looked: Path | None = None) -> Told:
    """Tell what each case shows; one that cannot be read does not keep the others from it.

    Args:
        looked: a folder for maps of where the network looked, KIND/CASE in each image's format and geometry, 0 to 255
            at the map's highest.
    """
    plan = predictor.plan
    names: list[str] = []
    failed: list[str] = []
    found = [np.zeros((0, len(plan.labels)))]
    with Progress("predict", len(cases)) as progress:
        for part in _batches(cases, BATCH[plan.dims]):
            read: dict[str, Prepared] = {}
            for case in part:
                try:
                    read[case.name] = prepared(case, plan)
                except ValueError as e:
                    failed.append(str(e))
                    say(f"failed: {e}")
                progress.advance()
            if read:
                images = [each.normalized() for each in read.values()]
                found.append(predictor.probability(images))
                names += read
                if looked is not None:
                    _write_maps([c for c in part if c.name in read], list(read.values()), images, predictor, looked)
    return Told(names, np.concatenate(found), failed)


def _write_maps(
    cases: Sequence[Case], read: Sequence[Prepared], images: Sequence[np.ndarray], predictor: ClassPredictor, out: Path
) -> None:
    for kind, values in predictor.saliency(images).items():
        for case, each, value in zip(cases, read, values, strict=True):
            whole = each.frame.restore(np.maximum(value, 0), fill=0)
            levels = np.rint(255 * whole / max(float(whole.max()), 1e-30)).astype(np.uint8)
            image = case.images[0]
            write_like(out / kind / case.name, levels, image, kind="nifti" if is_dicom(image) else None)


def prepared(case: Case, plan: Plan) -> Prepared:
    """A case as the network is to see it.

    Raises:
        ValueError: it cannot be read, or is not like what was trained on.
    """
    image, _, grid = read_case(case, label=False)
    check_like(case, image, grid, plan)
    return preprocess(image, None, grid, plan)


def _batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    items = iter(items)
    while part := list(itertools.islice(items, size)):
        yield part
