"""Adversarial self-training: a critic of masks says which voxels of its own the network may learn from."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from halfmask.config import Positive, Share, Weight
from halfmask.data.batch import IGNORE
from halfmask.learning.method import Segmenter
from halfmask.losses.adversarial import calling
from halfmask.losses.consistency import pseudo_label_ce
from halfmask.losses.segmentation import dice_ce
from halfmask.networks.critic import Critic
from halfmask.networks.factory import Builder
from halfmask.networks.segmenter import SegmentationNetwork


class AdversarialSelfTraining(Segmenter):
    """Hung et al., BMVC 2018, arXiv:1802.07934, Eqs. 1–5.

    A fully convolutional critic tells, voxel by voxel, the truth (1) from a prediction (0); it learns from annotated
    voxels alone. The student is to have its masks called true, and learns its own decision at the unlabeled voxels
    that the critic takes for true. Where we differ: the mean of that loss is over all unlabeled voxels, not those
    kept, so that a few do not have the weight of all; and where nobody annotated, the critic is shown the prediction
    in place of the truth, else it would know the truth by its gaps. ``told_apart`` is the share of annotated voxels,
    true and predicted, that the critic has right.

    Args:
        weight: λ_semi, of the student's own labels.
        threshold: T_semi, the critic's confidence above which a voxel's own label is learned.
        start: the share of the training after which own labels are learned, 5,000 of 20,000 steps in the paper.
        adversarial_labeled: λ_adv, on labeled images.
        adversarial_unlabeled: λ_adv, on unlabeled images.
        critic_rate: the critic's learning rate at the start; its optimizer is Adam.
    """

    adversarial = True
    student: SegmentationNetwork

    def __init__(
        self,
        network: Builder,
        *,
        weight: Weight = 0.1,
        threshold: Share = 0.2,
        start: Share = 0.25,
        adversarial_labeled: Weight = 0.01,
        adversarial_unlabeled: Weight = 0.001,
        critic_rate: Positive = 1e-4,
    ):
        super().__init__(network)
        self.student = network()
        self.critic = Critic(self.student.classes, self.student.dims)
        self.weight, self.threshold, self.start, self.critic_rate = weight, threshold, start, critic_rate
        self.adversarial_labeled, self.adversarial_unlabeled = adversarial_labeled, adversarial_unlabeled

    def optimizers(self, default):
        adam = torch.optim.Adam(self.critic.parameters(), lr=self.critic_rate, betas=(0.9, 0.99))
        return super().optimizers(default) | {"critic": adam}

    def step(self, batch, minimize, clock):
        y, n = batch.labeled.label, len(batch.labeled)
        logits = self.student(batch.image)
        scores = self.critic.voxelwise(self.probability(logits))
        labeled, unlabeled = scores[:n], scores[n:]

        keep = unlabeled.detach().sigmoid() > self.threshold  # I(D(S(u)) > T_semi)
        pseudo = pseudo_label_ce(logits[n:], self.decide(logits[n:])[1], keep if self.exclusive else keep[:, None])
        minimize(
            self.student,
            supervised=dice_ce(logits[:n], y),
            adversarial_labeled=self.adversarial_labeled * calling(labeled, True).mean(),
            adversarial_unlabeled=self.adversarial_unlabeled * calling(unlabeled, True).mean(),
            pseudo_unlabeled=self.weight * (clock.progress >= self.start) * pseudo,
        )
        minimize.log(kept=keep.float().mean())

        # The critic moves last: the losses above are to depend on their own half of the batch alone.
        mask = self.probability(logits[:n].detach())
        true, false = self.critic.voxelwise(torch.cat([self.truth(y, mask), mask])).chunk(2)
        known = y != IGNORE if self.exclusive else (y != IGNORE).all(1)
        each = (calling(true, True) + calling(false, False)) * known
        minimize(self.critic, critic_labeled=each.sum() / known.sum().clamp(min=1))
        right = ((true > 0).float() + (false < 0).float()) / 2
        minimize.log(told_apart=(right * known).sum() / known.sum())

    def truth(self, label: Tensor, mask: Tensor) -> Tensor:
        """Labels as masks (B, K, *spatial) of 0 and 1, filled with ``mask`` where nobody annotated."""
        known = label != IGNORE
        if not self.exclusive:
            return label.to(mask).where(known, mask)
        onehot = F.one_hot(label.where(known, 0), mask.shape[1]).movedim(-1, 1)
        return onehot.to(mask).where(known[:, None], mask)
