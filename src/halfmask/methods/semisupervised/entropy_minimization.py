"""Entropy minimization: unlabeled images are to be decided about, whichever way."""

from __future__ import annotations

from typing import Literal

from halfmask.config import Weight
from halfmask.learning.method import Segmenter
from halfmask.learning.schedules import sigmoid_rampup
from halfmask.losses.segmentation import dice_ce
from halfmask.networks.factory import Builder


class EntropyMinimization(Segmenter):
    """Grandvalet & Bengio, NeurIPS 2004; voxel by voxel as ADVENT has it directly (Vu et al., CVPR
    2019, arXiv:1811.12833, Eq. 3). As in SSL² with ``weight=1, ramp=False``.

    The entropy is divided by log K, so that the weight means the same for any number of classes. Alone it can be
    had by calling everything background: the labels, and a weight that rises slowly, hold against that.

    Args:
        weight: λ, of the entropy (at the end of its ramp-up).
        ramp: raise λ over the training.
        on: the half of the batch that it counts.
    """

    def __init__(
        self,
        network: Builder,
        *,
        weight: Weight = 0.1,
        ramp: bool = True,
        on: Literal["unlabeled", "all"] = "unlabeled",
    ):
        super().__init__(network)
        self.student = network()
        self.weight, self.ramp, self.on = weight, ramp, on

    def step(self, batch, minimize, clock):
        n = len(batch.labeled)
        counts = slice(n, None) if self.on == "unlabeled" else slice(None)
        weight = self.weight * (sigmoid_rampup(clock.progress) if self.ramp else 1)
        logits = self.student(batch.image)
        minimize(
            self.student,
            supervised=dice_ce(logits[:n], batch.labeled.label),
            entropy=weight * self.entropy(self.probability(logits[counts])).mean(),
        )
