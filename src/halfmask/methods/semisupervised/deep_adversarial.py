"""Deep adversarial network: unlabeled images are to be segmented so well that they pass for labeled ones."""

from __future__ import annotations

import torch
from torch import Tensor

from halfmask.config import Positive, Weight
from halfmask.learning.method import Segmenter
from halfmask.learning.schedules import sigmoid_rampup
from halfmask.losses.adversarial import calling, share_right
from halfmask.losses.segmentation import dice_ce
from halfmask.networks.critic import Critic
from halfmask.networks.factory import Builder
from halfmask.networks.segmenter import SegmentationNetwork


class DeepAdversarial(Segmenter):
    """DAN: Zhang et al., MICCAI 2017, doi:10.1007/978-3-319-66179-7_47. As in SSL² with ``weight=1, ramp=False``.

    A critic sees an image with what the student says of it and tells labeled (1) from unlabeled (0); the student is
    to have unlabeled images called labeled. With the targets exchanged, rather than the sign of the critic's loss,
    there is a gradient where the critic is right. Both halves are augmented alike, else the critic would go by that;
    but labeled crops lie on foreground more often, which it may go by still. ``told_apart`` is the share that the
    critic has right, each half counting the same.

    Args:
        weight: λ, of the adversarial loss (at the end of its ramp-up).
        ramp: raise λ over the training.
        critic_rate: the critic's learning rate at the start; its optimizer is Adam.
    """

    alike = adversarial = True
    student: SegmentationNetwork

    def __init__(self, network: Builder, *, weight: Weight = 0.1, ramp: bool = True, critic_rate: Positive = 1e-4):
        super().__init__(network)
        self.student = network()
        self.critic = Critic(self.student.channels + self.student.classes, self.student.dims)
        self.weight, self.ramp, self.critic_rate = weight, ramp, critic_rate

    def optimizers(self, default):
        adam = torch.optim.Adam(self.critic.parameters(), lr=self.critic_rate, betas=(0.9, 0.99))
        return super().optimizers(default) | {"critic": adam}

    def judged(self, image: Tensor, logits: Tensor) -> Tensor:
        """The critic's scores (B,) of images with their probabilities."""
        return self.critic(torch.cat([image, self.probability(logits)], 1))

    def step(self, batch, minimize, clock):
        n, u = len(batch.labeled), batch.unlabeled.image
        weight = self.weight * (sigmoid_rampup(clock.progress) if self.ramp else 1)
        logits = self.student(batch.image)

        scores = self.judged(batch.image, logits.detach())
        labeled, unlabeled = scores[:n], scores[n:]
        critic = {"critic_labeled": calling(labeled, True), "critic_unlabeled": calling(unlabeled, False)}
        minimize(self.critic, **{name: loss.mean() for name, loss in critic.items()})
        minimize(
            self.student,
            supervised=dice_ce(logits[:n], batch.labeled.label),
            adversarial=weight * calling(self.judged(u, logits[n:]), True).mean(),
        )
        minimize.log(told_apart=share_right(labeled, unlabeled))
