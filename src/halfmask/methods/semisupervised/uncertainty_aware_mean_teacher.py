"""Uncertainty-aware mean teacher: the student follows where the teacher is sure of itself."""

from __future__ import annotations

import torch

from halfmask.augment.intensity import noisy
from halfmask.config import Count, Share, Weight
from halfmask.learning.average import average_of, follow, warm
from halfmask.learning.method import Segmenter
from halfmask.learning.schedules import sigmoid_rampup
from halfmask.losses.segmentation import dice_ce, precise
from halfmask.networks.factory import Builder


class UncertaintyAwareMeanTeacher(Segmenter):
    """Yu et al., MICCAI 2019, arXiv:1907.07034, Eqs. 2–3.

    Entropy is that of the mean of several stochastic passes of the teacher (noise, and dropout where the network
    has it), as a share of the greatest, log K; the public code takes log 2 whatever K is. The threshold H rises from ¾
    to 1, where all counts. The error is the mean over the voxels under it.

    Args:
        weight: λ, of the consistency at the end of its ramp-up.
        passes: of the teacher, to tell how sure it is.
        decay: α, how slowly the teacher follows.
        noise: standard deviation, clipped at two of them.
        together: passes in one batch; fewer need less memory.
    """

    def __init__(
        self,
        network: Builder,
        *,
        weight: Weight = 0.1,
        passes: Count = 8,
        decay: Share = 0.99,
        noise: Weight = 0.1,
        together: Count = 8,
    ):
        super().__init__(network)
        self.student = network()
        self.teacher = average_of(self.student)
        self.weight, self.passes, self.decay, self.noise, self.together = weight, passes, decay, noise, together

    @property
    def predictor(self):
        return self.teacher

    def step(self, batch, minimize, clock):
        x, y, u = batch.labeled.image, batch.labeled.label, batch.unlabeled.image
        with torch.no_grad():
            target = self.probability(self.teacher(noisy(u, std=self.noise)))
            entropy = self.entropy(self.mean_probability(u))
        labeled, unlabeled = self.student(torch.cat([x, noisy(u, std=self.noise)])).split([len(x), len(u)])

        sure = entropy <= 0.75 + 0.25 * sigmoid_rampup(clock.progress)
        error = (self.probability(unlabeled) - precise(target)).square()
        error = error.mean(1) if self.exclusive else error
        minimize(
            self.student,
            supervised=dice_ce(labeled, y),
            consistency=self.weight * sigmoid_rampup(clock.progress) * (error * sure).sum() / sure.sum().clamp(min=1),
        )
        minimize.log(sure=sure.float().mean())
        follow(self.teacher, self.student, warm(self.decay, clock.step))

    def mean_probability(self, u):
        """The mean of the teacher's stochastic passes, each with its own noise and dropout."""
        total = 0.0
        for start in range(0, self.passes, self.together):
            count = min(self.together, self.passes - start)
            many = noisy(u.repeat(count, *[1] * (u.ndim - 1)), std=self.noise)
            total = total + self.probability(self.teacher(many)).unflatten(0, (count, len(u))).sum(0)
        return total / self.passes
