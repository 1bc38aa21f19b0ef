"""Self-training: in rounds, the network as it was labels the unlabeled images for itself."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field

from halfmask.config import Count, Share, Weight
from halfmask.data.batch import IGNORE
from halfmask.learning.average import average_of, follow
from halfmask.learning.clock import Clock
from halfmask.learning.components import largest_components
from halfmask.learning.method import Segmenter
from halfmask.losses.segmentation import dice_ce
from halfmask.networks.factory import Builder
from halfmask.networks.segmenter import SegmentationNetwork


class SelfTraining(Segmenter):
    """Lee, ICML workshop 2013; in rounds as Bai et al., MICCAI 2017, doi:10.1007/978-3-319-66185-8_29, without their
    conditional random field.

    The training starts supervised alone, and long enough to know something: what the first copy gets wrong, the
    others learn. At the start of each round a copy of the network is set aside, which labels each crop as it comes, the
    way it would predict (no dropout, the norms' running statistics): the same as labeling the whole set at once, but
    for what a crop shows of its surroundings. Voxels under the threshold teach nothing.

    Args:
        start: share of the training that is supervised alone; the rounds share the rest.
        rounds: in which the unlabeled images are labeled anew.
        threshold: the confidence from which a label is kept.
        weight: of the unlabeled images' loss.
        largest_component: leave nothing of each class but its largest component in the crop. It waits for the device.
    """

    steps_per_cycle = 2  # one that is supervised alone, and one of a round
    student: SegmentationNetwork

    def __init__(
        self,
        network: Builder,
        *,
        start: Annotated[float, Field(ge=0, lt=1)] = 0.5,
        rounds: Count = 3,
        threshold: Share = 0.9,
        weight: Weight = 1.0,
        largest_component: bool = False,
    ):
        super().__init__(network)
        self.student = network()
        self.teacher = average_of(self.student)
        self.start, self.rounds, self.largest_component = start, rounds, largest_component
        self.threshold, self.weight = threshold, weight

    def round(self, clock: Clock, step: int) -> int:
        """The round of a step, from 0, the supervised one; the step that reaches a round's end still is of it."""
        done = (step / clock.steps - self.start) / (1 - self.start)
        return max(0, math.ceil(self.rounds * done - 1e-9))

    def step(self, batch, minimize, clock):
        first = self.round(clock, clock.step) == 0
        if first:
            minimize(self.student, supervised=dice_ce(self.student(batch.labeled.image), batch.labeled.label))
        else:
            self.learn_both(batch, minimize)
        if first or self.round(clock, clock.step + 1) > self.round(clock, clock.step):
            follow(self.teacher, self.student, 0.0)  # a copy, for the round that comes; at first for who looks at it

    def learn_both(self, batch, minimize):
        x, y, u = batch.labeled.image, batch.labeled.label, batch.unlabeled.image
        self.teacher.eval()
        with torch.no_grad():
            confidence, pseudo = self.decide(self.teacher(u))
        if self.largest_component:
            pseudo = largest_components(pseudo, self.student.classes, exclusive=self.exclusive)
        keep = confidence >= self.threshold
        labeled, unlabeled = self.student(torch.cat([x, u])).split([len(x), len(u)])
        minimize(
            self.student,
            supervised=dice_ce(labeled, y),
            pseudo=self.weight * dice_ce(unlabeled, pseudo.where(keep, IGNORE)),
        )
        minimize.log(kept=keep.float().mean())
