"""Weak to strong: a mean teacher's confident labels of weak views teach the student strong, mixed ones."""

from __future__ import annotations

import torch

from halfmask.augment.mixing import CutMix
from halfmask.augment.views import strong
from halfmask.config import Share, Weight
from halfmask.data.batch import IGNORE
from halfmask.learning.average import average_of, follow, warm
from halfmask.learning.method import Segmenter
from halfmask.losses.consistency import pseudo_label_ce
from halfmask.losses.segmentation import dice, dice_ce
from halfmask.networks.factory import Builder


class WeakToStrong(Segmenter):
    """Ours, after Sohn et al., NeurIPS 2020, arXiv:2001.07685: FixMatch's confident labels, given by a mean teacher
    (Tarvainen & Valpola, NeurIPS 2017, arXiv:1703.01780), and learned by Dice and cross-entropy on strong views with a
    box of another image (CutMix, as French et al., BMVC 2020, arXiv:1906.01916).

    The teacher changes slowly and is not what the student was a step ago, so that a wrong label is not at once its own
    proof; Dice gives small classes their say.

    Args:
        weight: of the pseudo-labels' loss; that of the labels has 1.
        threshold: τ, the confidence from which a label is kept.
        decay: α, how slowly the teacher follows.
        mixed: share of images that a box is pasted into.
    """

    def __init__(
        self,
        network: Builder,
        *,
        weight: Weight = 1.0,
        threshold: Share = 0.95,
        decay: Share = 0.99,
        mixed: Share = 1.0,
    ):
        super().__init__(network)
        self.student = network()
        self.teacher = average_of(self.student)
        self.weight, self.threshold, self.decay, self.mixed = weight, threshold, decay, mixed

    @property
    def predictor(self):
        return self.teacher

    def step(self, batch, minimize, clock):
        x, y, u = batch.labeled.image, batch.labeled.label, batch.unlabeled.image
        mix = CutMix.draw(u, p=self.mixed)
        with torch.no_grad():
            confidence, pseudo = self.decide(self.teacher(u))
        labeled, unlabeled = self.student(torch.cat([x, mix(strong(u))])).split([len(x), len(u)])

        label = mix(pseudo.where(confidence >= self.threshold, IGNORE))
        minimize(
            self.student,
            supervised=dice_ce(labeled, y),
            pseudo=self.weight / 2 * (dice(unlabeled, label) + pseudo_label_ce(unlabeled, label)),
        )
        minimize.log(kept=(label != IGNORE).float().mean())
        follow(self.teacher, self.student, warm(self.decay, clock.step))
