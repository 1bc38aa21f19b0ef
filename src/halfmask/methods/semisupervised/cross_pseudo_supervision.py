"""Cross pseudo supervision: two networks label the images for each other."""

from __future__ import annotations

from typing import Literal

from halfmask.config import Weight
from halfmask.learning.method import Segmenter
from halfmask.learning.schedules import sigmoid_rampup
from halfmask.losses.consistency import pseudo_label_ce
from halfmask.losses.segmentation import dice_ce
from halfmask.networks.factory import Builder


class CrossPseudoSupervision(Segmenter):
    """Chen et al., CVPR 2021, arXiv:2106.01226, Eq. 4; as in SSL² with ``on="unlabeled", weight=1, ramp=False``.

    Two networks of one architecture with different initial weights and dropout; `predict` uses the first.

    Args:
        weight: λ, of the cross pseudo supervision loss (at the end of its ramp-up).
        ramp: raise λ over the training, as the public medical code does; the paper holds it constant.
        on: the half of the batch that it counts; the public code counts all.
    """

    def __init__(
        self,
        network: Builder,
        *,
        weight: Weight = 0.1,
        ramp: bool = True,
        on: Literal["unlabeled", "all"] = "all",
    ):
        super().__init__(network)
        self.student, self.peer = network(), network()
        self.weight, self.ramp, self.on = weight, ramp, on

    def step(self, batch, minimize, clock):
        y, n = batch.labeled.label, len(batch.labeled)
        counts = slice(n, None) if self.on == "unlabeled" else slice(None)
        weight = self.weight * (sigmoid_rampup(clock.progress) if self.ramp else 1)
        p, q = self.student(batch.image), self.peer(batch.image)

        # Each is trained on the other's hard labels, which pass no gradient back.
        student, peer = (self.decide(logits[counts])[1] for logits in (p, q))
        minimize(
            [self.student, self.peer],
            supervised=dice_ce(p[:n], y) + dice_ce(q[:n], y),
            cross=weight * (pseudo_label_ce(p[counts], peer) + pseudo_label_ce(q[counts], student)),
        )
        minimize.log(agreement=(student == peer).float().mean())
