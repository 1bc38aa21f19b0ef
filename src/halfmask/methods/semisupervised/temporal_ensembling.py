"""Temporal ensembling: the network agrees with what it said of the same place before."""

from __future__ import annotations

from halfmask.augment.intensity import noisy
from halfmask.config import Positive, Share, Weight
from halfmask.learning.method import Segmenter
from halfmask.learning.past import PastPredictions
from halfmask.learning.schedules import sigmoid_rampup
from halfmask.losses.consistency import mutual_mse
from halfmask.losses.segmentation import dice_ce
from halfmask.networks.factory import Builder
from halfmask.networks.segmenter import SegmentationNetwork


class TemporalEnsembling(Segmenter):
    """Laine & Aila, ICLR 2017, arXiv:1610.02242, Algorithm 2.

    The paper averages the outputs of whole images once an epoch. Here each unlabeled case has a table of its own, in
    8 bits at half resolution, in which a patch finds what earlier ones said of its place, whichever way they were
    turned. Voxels that nothing was said of yet do not count; in the paper their weight is 0 in the first
    epoch. Labeled images, which agree with their labels, have none.

    Args:
        weight: of the consistency at the end of its ramp-up.
        decay: α, of the average of the predictions.
        noise: standard deviation, clipped at two of them; images have a standard deviation of 1.
        budget: the greatest size of all tables, in GiB.
    """

    alone = True
    student: SegmentationNetwork

    def __init__(
        self,
        network: Builder,
        *,
        weight: Weight = 0.1,
        decay: Share = 0.6,
        noise: Weight = 0.1,
        budget: Positive = 4.0,
    ):
        super().__init__(network)
        self.student = network()
        self.past = PastPredictions(network.dims, decay)
        self.weight, self.noise, self.budget = weight, noise, budget

    def begin(self, cases):
        self.past.begin(cases, self.student.classes, self.budget)

    def step(self, batch, minimize, clock):
        n = len(batch.labeled)
        logits = self.student(noisy(batch.image, std=self.noise))
        p = self.probability(logits[n:])
        target, seen = self.past.recall(batch.unlabeled)
        self.past.remember(batch.unlabeled, p)
        minimize(
            self.student,
            supervised=dice_ce(logits[:n], batch.labeled.label),
            consistency=self.weight * sigmoid_rampup(clock.progress) * mutual_mse(p, target, seen),
        )
        minimize.log(seen=seen.float().mean())
