"""Mixup: images blended in pairs are to be told as their labels blended alike."""

from __future__ import annotations

import torch

from halfmask.augment.mixing import Mixup as Blend
from halfmask.config import Positive, Weight
from halfmask.learning.method import Segmenter
from halfmask.learning.schedules import sigmoid_rampup
from halfmask.losses.soft import soft_dice_ce
from halfmask.networks.factory import Builder
from halfmask.networks.segmenter import SegmentationNetwork


class Mixup(Segmenter):
    """Zhang et al., ICLR 2018, arXiv:1710.09412: labeled images with their labels; unlabeled ones, on which the paper
    is silent, with what the network itself says of them.

    A voxel of a labeled pair counts where both were annotated, so of sparse labels little remains. Dice against
    blended labels is the semimetric one of `losses.soft`.

    Args:
        weight: of the loss on unlabeled images at the end of its ramp-up.
        alpha: λ is drawn from Beta(α, α) for each image.
    """

    student: SegmentationNetwork

    def __init__(self, network: Builder, *, weight: Weight = 0.1, alpha: Positive = 0.2):
        super().__init__(network)
        self.student = network()
        self.weight, self.alpha = weight, alpha

    def step(self, batch, minimize, clock):
        x, y, u = batch.labeled.image, batch.labeled.label, batch.unlabeled.image
        of_x, of_u = (Blend.draw(images, self.alpha) for images in (x, u))
        told, known = of_x.label(y, self.student.classes, exclusive=self.exclusive)
        with torch.no_grad():
            own = of_u(self.probability(self.student(u)))

        labeled, unlabeled = self.student(torch.cat([of_x(x), of_u(u)])).split([len(x), len(u)])
        weight = self.weight * sigmoid_rampup(clock.progress)
        minimize(
            self.student,
            supervised=soft_dice_ce(labeled, told, known, exclusive=self.exclusive),
            mixed_unlabeled=weight * soft_dice_ce(unlabeled, own, exclusive=self.exclusive),
        )
