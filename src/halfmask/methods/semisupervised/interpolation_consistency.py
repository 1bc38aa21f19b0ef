"""Interpolation consistency: what is said of a blend is the blend of what is said."""

from __future__ import annotations

import torch

from halfmask.augment.mixing import Mixup
from halfmask.config import Positive, Share, Weight
from halfmask.learning.average import average_of, follow, warm
from halfmask.learning.method import Segmenter
from halfmask.learning.schedules import sigmoid_rampup
from halfmask.losses.consistency import probability_mse
from halfmask.losses.segmentation import dice_ce
from halfmask.networks.factory import Builder


class InterpolationConsistency(Segmenter):
    """Verma et al., IJCAI 2019, arXiv:1903.03825: the student at λ u₁ + (1 − λ) u₂ is to say what the mean teacher says
    of u₁ and u₂, blended alike.

    Args:
        weight: of the consistency at the end of its ramp-up.
        alpha: λ is drawn from Beta(α, α) for each image.
        decay: how slowly the teacher follows; 0.999 in the paper, whose trainings are longer.
    """

    def __init__(self, network: Builder, *, weight: Weight = 0.1, alpha: Positive = 0.2, decay: Share = 0.99):
        super().__init__(network)
        self.student = network()
        self.teacher = average_of(self.student)
        self.weight, self.alpha, self.decay = weight, alpha, decay

    @property
    def predictor(self):
        return self.teacher

    def step(self, batch, minimize, clock):
        x, y, u = batch.labeled.image, batch.labeled.label, batch.unlabeled.image
        mix = Mixup.draw(u, self.alpha)
        with torch.no_grad():
            target = mix(self.probability(self.teacher(u)))
        labeled, blended = self.student(torch.cat([x, mix(u)])).split([len(x), len(u)])
        minimize(
            self.student,
            supervised=dice_ce(labeled, y),
            consistency=self.weight
            * sigmoid_rampup(clock.progress)
            * probability_mse(self.probability(blended), target),
        )
        follow(self.teacher, self.student, warm(self.decay, clock.step))
