"""Bidirectional copy-paste: labeled images pasted into unlabeled ones and the other way round."""

from __future__ import annotations

from typing import Literal

import torch

from halfmask.augment.mixing import Box, CutMix
from halfmask.config import Share, Weight
from halfmask.data.batch import IGNORE
from halfmask.learning.average import average_of, follow, warm
from halfmask.learning.components import largest_components
from halfmask.learning.method import Segmenter
from halfmask.losses.segmentation import dice_ce
from halfmask.networks.factory import Builder
from halfmask.networks.segmenter import SegmentationNetwork


class BidirectionalCopyPaste(Segmenter):
    """Bai et al., CVPR 2023, arXiv:2305.00673, Eqs. 2–9.

    Each image of the larger half is paired with one of the smaller, whose images serve several times, and a box is
    exchanged between the two. At first labeled images are pasted into each other alone. The teacher follows from
    the start; in the public code it is a copy of the student when the second stage begins.

    Args:
        weight: α, of the voxels that the teacher labeled, in both mixes.
        box: its side as a share of the image's, along each axis.
        start: share of the training after which unlabeled images come in; in the public code 2,000 of 17,000 steps and
            10,000 of 40,000.
        decay: how slowly the teacher follows.
        largest_component: leave nothing of each class in the teacher's label but its largest component in the crop, as
            the paper does: of several lesions it deletes all but one. It waits for the device.
        predict_with: the paper's result is the student.
    """

    student: SegmentationNetwork

    def __init__(
        self,
        network: Builder,
        *,
        weight: Weight = 0.5,
        box: Share = 2 / 3,
        start: Share = 0.2,
        decay: Share = 0.99,
        largest_component: bool = False,
        predict_with: Literal["teacher", "student"] = "student",
    ):
        super().__init__(network)
        self.student = network()
        self.teacher = average_of(self.student)
        self.weight, self.box, self.start, self.decay = weight, box, start, decay
        self.largest_component, self.predict_with = largest_component, predict_with

    @property
    def predictor(self):
        return self.teacher if self.predict_with == "teacher" else self.student

    def step(self, batch, minimize, clock):
        if clock.progress < self.start:
            x, y = batch.labeled.image, batch.labeled.label
            mix = CutMix.draw(x, self.volume, aspect=1.0)
            minimize(self.student, supervised_mixed=dice_ce(self.student(mix(x)), mix(y)))
        else:
            self.exchange(batch, minimize)
        follow(self.teacher, self.student, warm(self.decay, clock.step))

    def exchange(self, batch, minimize):
        x, y, u = batch.labeled.image, batch.labeled.label, batch.unlabeled.image
        with torch.no_grad():
            _, pseudo = self.decide(self.teacher(u))
        if self.largest_component:
            pseudo = largest_components(pseudo, self.student.classes, exclusive=self.exclusive)

        pair = torch.arange(max(len(x), len(u)), device=x.device)
        x, y, u, pseudo = x[pair % len(x)], y[pair % len(x)], u[pair % len(u)], pseudo[pair % len(u)]
        box, unknown = Box.draw(x, self.volume, aspect=1.0), torch.full_like(y, IGNORE)
        inward, outward = self.student(torch.cat([box.paste(x, u), box.paste(u, x)])).chunk(2)

        # Each mix has two labels, each with the other's voxels ignored, so that Dice is of each part by itself.
        annotated = dice_ce(inward, box.paste(y, unknown)) + dice_ce(outward, box.paste(unknown, y))
        guessed = dice_ce(inward, box.paste(unknown, pseudo)) + dice_ce(outward, box.paste(pseudo, unknown))
        minimize(self.student, supervised_mixed=annotated, pseudo=self.weight * guessed)

    @property
    def volume(self) -> tuple[float, float]:
        """The range, of one number, of the box's share of an image."""
        share = self.box**self.student.dims
        return share, share
