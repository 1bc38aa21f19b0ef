"""Π-model: two noisy passes of one network agree, also about an image that was moved in between."""

from __future__ import annotations

import math
from typing import Literal

import torch

from halfmask.augment.intensity import noisy
from halfmask.config import Weight
from halfmask.learning.method import Segmenter
from halfmask.learning.schedules import sigmoid_rampup
from halfmask.losses.consistency import mutual_mse
from halfmask.losses.segmentation import dice_ce
from halfmask.networks.factory import Builder


class PiModel(Segmenter):
    """Laine & Aila, ICLR 2017, arXiv:1610.02242, Algorithm 1; both passes get the gradient.

    The passes differ by noise, dropout, and in that the second sees the image moved once more; what it says is moved
    back, and voxels that had left its view do not count. The paper's images are moved too, but a class stays where it
    is. All passes go through the network in one batch. The ramp-up spans the whole training, as in the public
    semi-supervised code.

    Args:
        weight: of the consistency at the end of its ramp-up.
        noise: standard deviation, clipped at two of them; images have a standard deviation of 1.
        transform: move the second view as weak views are: flips along axes that allow it and, in one image of five
            each, a rotation up to 10° and a scale of 0.9–1.1.
        on: the half of the batch that the consistency counts; all in the paper.
    """

    def __init__(
        self,
        network: Builder,
        *,
        weight: Weight = 0.1,
        noise: Weight = 0.1,
        transform: bool = True,
        on: Literal["unlabeled", "all"] = "unlabeled",
    ):
        super().__init__(network)
        self.student = network()
        self.weight, self.noise, self.transform, self.on = weight, noise, transform, on

    def step(self, batch, minimize, clock):
        image, n = batch.image, len(batch.labeled)
        counted = slice(n, None) if self.on == "unlabeled" else slice(None)
        again = image[counted]
        if self.transform:
            move = self.space.draw(again, rotation=math.radians(10), scale=(0.9, 1.1), p_rotation=0.2, p_scale=0.2)
            again = move.image(again)

        logits = self.student(noisy(torch.cat([image, again]), std=self.noise))
        first, second = logits.split([len(image), len(again)])
        one, other, inside = self.probability(first[counted]), self.probability(second), None
        if self.transform:
            back = move.inverse()
            other, inside = back.probability(other), back.inside()
        minimize(
            self.student,
            supervised=dice_ce(first[:n], batch.labeled.label),
            consistency=self.weight * sigmoid_rampup(clock.progress) * mutual_mse(one, other, inside),
        )
