"""Mean teacher: a student agrees with the average of its own past selves."""

from __future__ import annotations

from typing import Literal

import torch

from halfmask.augment.intensity import noisy
from halfmask.config import Share, Weight
from halfmask.learning.average import average_of, follow, warm
from halfmask.learning.method import Segmenter
from halfmask.learning.schedules import sigmoid_rampup
from halfmask.losses.consistency import probability_mse
from halfmask.losses.segmentation import dice_ce
from halfmask.networks.factory import Builder


class MeanTeacher(Segmenter):
    """Tarvainen & Valpola, NeurIPS 2017, arXiv:1703.01780, with softmax MSE for J.

    The student's noise η is on both halves of its batch, as in the paper. The ramp-up spans the whole
    training, as in the public semi-supervised code, not its first epochs.

    Args:
        weight: λ, of the consistency cost at the end of its ramp-up.
        decay: α, how slowly the teacher follows; from 0 up in the first steps.
        noise: standard deviation of η and η', clipped at two of them; images have a standard deviation of 1.
        on: the half of the batch that the consistency counts.
        predict_with: the paper's result is the teacher; most public code reports the student.
    """

    def __init__(
        self,
        network: Builder,
        *,
        weight: Weight = 0.1,
        decay: Share = 0.99,
        noise: Weight = 0.1,
        on: Literal["unlabeled", "all"] = "unlabeled",
        predict_with: Literal["teacher", "student"] = "teacher",
    ):
        super().__init__(network)
        self.student = network()
        self.teacher = average_of(self.student)
        self.weight, self.decay, self.noise = weight, decay, noise
        self.on, self.predict_with = on, predict_with

    @property
    def predictor(self):
        return self.teacher if self.predict_with == "teacher" else self.student

    def step(self, batch, minimize, clock):
        n = len(batch.labeled)
        counts = slice(n, None) if self.on == "unlabeled" else slice(None)
        weight = self.weight * sigmoid_rampup(clock.progress)

        logits = self.student(noisy(batch.image, std=self.noise))  # f(x + η), f(u + η)
        with torch.no_grad():
            target = self.probability(self.teacher(noisy(batch.image[counts], std=self.noise)))  # f'(u + η')

        minimize(
            self.student,
            supervised=dice_ce(logits[:n], batch.labeled.label),
            consistency=weight * probability_mse(self.probability(logits[counts]), target),
        )
        follow(self.teacher, self.student, warm(self.decay, clock.step))  # θ' ← α θ' + (1 − α) θ
