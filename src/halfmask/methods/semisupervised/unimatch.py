"""UniMatch: one weak view teaches two strong views and one with features dropped."""

from __future__ import annotations

import torch

from halfmask.augment.mixing import CutMix
from halfmask.augment.views import strong
from halfmask.config import Share, Weight
from halfmask.data.batch import IGNORE
from halfmask.learning.method import Segmenter
from halfmask.losses.segmentation import dice, dice_ce
from halfmask.networks.factory import Builder
from halfmask.networks.segmenter import SegmentationNetwork


class UniMatch(Segmenter):
    """Yang et al., CVPR 2023, arXiv:2208.09910, its medical variant: Dice, voxels under the threshold ignored.

    The strong views have a box of another image each (CutMix), and so have their labels; the third view is the weak
    one with half of the encoder's channels dropped at every level. Weights are the paper's, ¼, ¼ and ½ to the
    supervised loss's 1; its common factor ½ is the learning rate's matter. All views go through the network in one
    batch.

    Args:
        weight: of the three unlabeled terms together.
        threshold: τ, the confidence from which a label is kept.
        drop: share of channels that are dropped.
        mixed: share of images that a box is pasted into.
    """

    student: SegmentationNetwork

    def __init__(
        self, network: Builder, *, weight: Weight = 1.0, threshold: Share = 0.95, drop: Share = 0.5, mixed: Share = 0.5
    ):
        super().__init__(network)
        self.student = network()
        self.weight, self.threshold, self.drop, self.mixed = weight, threshold, drop, mixed

    def step(self, batch, minimize, clock):
        x, y, u = batch.labeled.image, batch.labeled.label, batch.unlabeled.image
        n, m = len(x), len(u)
        mixes = [CutMix.draw(u, p=self.mixed) for _ in range(2)]

        features = self.student.encode(torch.cat([x, u, *(mix(strong(u)) for mix in mixes)]))
        dropped = [torch.feature_dropout(f[n : n + m], self.drop, train=True) for f in features]
        maps = self.student.decode([torch.cat(pair) for pair in zip(features, dropped, strict=True)])
        labeled, weak, *strongs, perturbed = self.student.head(maps[0]).split([n, m, m, m, m])

        confidence, pseudo = self.decide(weak)
        label = pseudo.where(confidence >= self.threshold, IGNORE)
        minimize(
            self.student,
            supervised=dice_ce(labeled, y),
            strong=self.weight / 4 * sum(dice(view, mix(label)) for view, mix in zip(strongs, mixes, strict=True)),
            features=self.weight / 2 * dice(perturbed, label),
        )
        minimize.log(kept=(label != IGNORE).float().mean())
