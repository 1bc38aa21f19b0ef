"""Transformation consistency: the prediction of a moved image is the prediction, moved."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import torch
from pydantic import Field

from halfmask.config import Share, Weight
from halfmask.learning.method import Segmenter
from halfmask.learning.schedules import sigmoid_rampup
from halfmask.losses.consistency import mutual_mse
from halfmask.losses.segmentation import dice_ce
from halfmask.networks.factory import Builder

Bend = Annotated[float, Field(ge=0, le=0.075)]


class TransformationConsistency(Segmenter):
    """Bortsova et al., MICCAI 2019, arXiv:1911.01218: ‖T(p(f(u))) − p(f(T(u)))‖².

    Each image comes moved already and T moves it once more, so that both branches see transformed images, as in
    the paper, and one interpolation compares them. Both get the gradient. Voxels that T brings in from outside
    do not count. The error is the mean over the others and over classes. The paper's T is elastic alone
    (``rotation=0 scale=1 flip=0``). Both branches go through the network in one batch.

    Args:
        weight: λ, of the consistency at the end of its ramp-up.
        on: the half of the batch that it counts; the paper counts all.
        flip: how often each axis is mirrored that may be.
        rotation: the greatest, in degrees.
        scale: the greatest magnification; its inverse is the least.
        elastic: the greatest displacement of a control point (8 along each axis), as a share of the patch's shortest
            side; over 0.08 space would fold.
    """

    def __init__(
        self,
        network: Builder,
        *,
        weight: Weight = 0.1,
        on: Literal["unlabeled", "all"] = "all",
        flip: Share = 0.5,
        rotation: Annotated[float, Field(ge=0, le=180)] = 10.0,
        scale: Annotated[float, Field(ge=1)] = 1.1,
        elastic: Bend = 0.04,
    ):
        super().__init__(network)
        self.student = network()
        self.weight, self.on = weight, on
        sides = [n for n, able in zip(network.patch, self.space.free, strict=True) if able]
        self.ranges: dict[str, Any] = {
            "p_flip": flip,
            "rotation": math.radians(rotation),
            "scale": (1 / scale, scale),
            "elastic": elastic * min(sides),
        }

    def step(self, batch, minimize, clock):
        image, n = batch.image, len(batch.labeled)
        counted = slice(n, None) if self.on == "unlabeled" else slice(None)
        move = self.space.draw(image[counted], **self.ranges)

        moved = move.image(image[counted])
        logits, of_moved = self.student(torch.cat([image, moved])).split([len(image), len(moved)])
        error = mutual_mse(
            move.probability(self.probability(logits[counted])), self.probability(of_moved), move.inside()
        )
        minimize(
            self.student,
            supervised=dice_ce(logits[:n], batch.labeled.label),
            consistency=self.weight * sigmoid_rampup(clock.progress) * error,
        )
