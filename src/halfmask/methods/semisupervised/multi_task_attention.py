"""MASSL: a second decoder reconstructs the image, parted by class as the segmentation parts it."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F

from halfmask.config import Weight
from halfmask.learning.method import Segmenter
from halfmask.learning.schedules import sigmoid_rampup
from halfmask.losses.segmentation import dice_ce, precise
from halfmask.networks.branch import Branch
from halfmask.networks.factory import Builder
from halfmask.networks.segmenter import SegmentationNetwork


class MultiTaskAttention(Segmenter):
    """Chen et al., MICCAI 2019, arXiv:1907.12303.

    The second decoder reconstructs u · p_k for every class, foreground and background: the segmentation is its
    attention. As in the authors' code it gets the bottleneck alone, without skips (which are zeros here), and teaches
    itself and the encoder, not the segmentation. Their code weighs each class by its share of the image; here all
    count alike, however small. Regions may overlap, so for them p_k is followed by 1 − max_k p_k, what is in none.

    Args:
        weight: λ, of the reconstruction; in a joint step at the end of its ramp-up. In an alternating one it is
            constant: the authors' reconstruction steps have a tenth of the rate of the others.
        schedule: supervised and reconstruction steps that take turns, the paper's better one; or both losses in
            every step.
    """

    steps_per_cycle = 2
    student: SegmentationNetwork

    def __init__(
        self,
        network: Builder,
        *,
        weight: Weight = 0.1,
        schedule: Literal["alternating", "joint"] = "alternating",
    ):
        super().__init__(network)
        self.student = network()
        parts = self.student.classes + (not self.exclusive)
        self.reconstructor = Branch(network(classes=parts * self.student.channels))
        self.weight, self.schedule = weight, schedule

    def step(self, batch, minimize, clock):
        x, y, u = batch.labeled.image, batch.labeled.label, batch.unlabeled.image
        both = [self.student, self.reconstructor]
        if self.schedule == "joint":
            features = self.student.encode(batch.image)
            labeled, unlabeled = [f[: len(x)] for f in features], [f[len(x) :] for f in features]
            minimize(
                both,
                supervised=dice_ce(self.student.head(self.student.decode(labeled)[0]), y),
                reconstruction=self.weight * sigmoid_rampup(clock.progress) * self.reconstruction(unlabeled, u),
            )
        elif clock.step % 2 == 0:
            minimize(self.student, supervised=dice_ce(self.student(x), y))
        else:
            minimize(both, reconstruction=self.weight * self.reconstruction(self.student.encode(u), u))

    def reconstruction(self, features, u):
        """The error of reconstructing images (B, C, *spatial) in parts, mean over parts, channels and voxels."""
        with torch.no_grad():
            target = self.parts(u, self.student.head(self.student.decode(features)[0]))
        alone = [torch.zeros_like(f) for f in features[:-1]]
        return F.mse_loss(precise(self.reconstructor([*alone, features[-1]])), target)

    def parts(self, u, logits):
        """u · p_k for each part, (B, parts · C, *spatial), float32; those of classes add up to u."""
        p = self.probability(logits)
        attention = p if self.exclusive else torch.cat([p, 1 - p.amax(1, keepdim=True)], 1)
        return (attention[:, :, None] * precise(u)[:, None]).flatten(1, 2)
