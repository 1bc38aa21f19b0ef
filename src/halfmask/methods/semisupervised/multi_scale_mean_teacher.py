"""Multi-scale mean teacher: the student agrees with its average at every level of the decoder."""

from __future__ import annotations

import torch

from halfmask.augment.intensity import noisy
from halfmask.config import Share, Weight
from halfmask.learning.average import average_of, follow, warm
from halfmask.learning.method import Segmenter
from halfmask.learning.schedules import sigmoid_rampup
from halfmask.losses.consistency import probability_mse
from halfmask.losses.pyramid import label_pyramid
from halfmask.losses.segmentation import dice_ce
from halfmask.networks.branch import level_heads
from halfmask.networks.factory import Builder
from halfmask.networks.segmenter import SegmentationNetwork


class MultiScaleMeanTeacher(Segmenter):
    """The baseline of MuST's Table 3: mean teacher (Tarvainen & Valpola, NeurIPS 2017, arXiv:1703.01780) at every
    decoder level, bottleneck included, each with a classifier of its own.

    The paper says no more of it. Both losses are here means over the levels, so that weight and rate mean what they do
    for the mean teacher; labels are pooled as for MuST, and supervised with Dice, too.

    Args:
        weight: λ, of the consistency cost at the end of its ramp-up.
        decay: α, how slowly the teacher and its classifiers follow.
        noise: standard deviation of η and η', clipped at two of them.
    """

    student: SegmentationNetwork

    def __init__(self, network: Builder, *, weight: Weight = 0.1, decay: Share = 0.99, noise: Weight = 0.1):
        super().__init__(network)
        self.student = network()
        self.heads = level_heads(self.student)
        self.teacher, self.teacher_heads = average_of(self.student), average_of(self.heads)
        self.weight, self.decay, self.noise = weight, decay, noise

    @property
    def predictor(self):
        return self.teacher

    def step(self, batch, minimize, clock):
        y, u, n = batch.labeled.label, batch.unlabeled.image, len(batch.labeled)
        logits = _at_each_level(self.student, self.heads, noisy(batch.image, std=self.noise))
        with torch.no_grad():
            taught = _at_each_level(self.teacher, self.teacher_heads, noisy(u, std=self.noise))

        labels = label_pyramid(y, self.student.strides, self.student.classes)
        supervised = [dice_ce(f[:n], y_k) for f, y_k in zip(logits, labels, strict=True)]
        consistency = [
            probability_mse(self.probability(f[n:]), self.probability(t)) for f, t in zip(logits, taught, strict=True)
        ]
        minimize(
            [self.student, self.heads],
            supervised=sum(supervised) / len(logits),
            consistency=self.weight * sigmoid_rampup(clock.progress) * sum(consistency) / len(logits),
        )
        decay = warm(self.decay, clock.step)
        follow(self.teacher, self.student, decay)
        follow(self.teacher_heads, self.heads, decay)


def _at_each_level(network, heads, x):
    """Logits of every decoder level, finest first."""
    maps = network.decode(network.encode(x))
    return [head(m) for head, m in zip([network.head, *heads], maps, strict=True)]
