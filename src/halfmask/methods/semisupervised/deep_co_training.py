"""Deep co-training: networks with labels of their own agree, but not in their weak points."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from halfmask.augment.draw import to_device
from halfmask.config import Weight
from halfmask.data.batch import IGNORE
from halfmask.learning.method import Segmenter
from halfmask.learning.minimize import Minimize
from halfmask.learning.schedules import sigmoid_rampup
from halfmask.losses.segmentation import dice_ce, voxel_cross_entropy
from halfmask.losses.soft import soft_cross_entropy
from halfmask.networks.factory import Builder

Several = Annotated[int, Field(ge=2)]


class DeepCoTraining(Segmenter):
    """Peng et al., Pattern Recognition 2020, arXiv:1903.11233.

    Networks agree on unlabeled images by the Jensen–Shannon divergence of their predictions, here as a share of log K.
    So that they stay different, each is to say at the adversarial example of the next one (one step along the sign of
    the gradient, against the next one's own decision) what the next one says of the clean image: around a ring, where
    the paper takes all pairs; with two networks that is the same. Weights are those of the public code.

    Where networks have labels of their own, these are of the cases whose number, divided by how many networks there
    are, leaves their own remainder. Until each has met one they share all, so a training with fewer labeled cases than
    networks shares them throughout.

    Args:
        networks: how many.
        apart: each learns from labels of its own, as in the paper; of few labels that leaves each too few.
        weight: λ_cot, of the agreement at the end of its ramp-up.
        diversity: λ_div, of the loss on adversarial examples at the end of its ramp-up.
        epsilon: ε, how far each voxel of an adversarial example is off; images have a standard deviation of 1. The
            public code has 0.03 for images between 0 and 1.
        predict_with: the mean of all networks, or the first alone.
    """

    found: Tensor

    def __init__(
        self,
        network: Builder,
        *,
        networks: Several = 2,
        apart: bool = False,
        weight: Weight = 0.5,
        diversity: Weight = 0.05,
        epsilon: Weight = 0.1,
        predict_with: Literal["mean", "student"] = "mean",
    ):
        super().__init__(network)
        self.student = network()
        for k in range(1, networks):
            self.add_module(f"peer{k}", network())
        self.register_buffer("found", torch.zeros(networks))
        self.apart, self.predict_with = apart, predict_with
        self.weight, self.diversity, self.epsilon = weight, diversity, epsilon

    @property
    def labeler(self):
        return self.get_submodule("peer1")

    def predict(self, image):
        networks = self.children() if self.predict_with == "mean" else [self.student]
        return torch.stack([self.probability(net(image)) for net in networks]).mean(0)

    def step(self, batch, minimize, clock):
        x, y, u = batch.labeled.image, batch.labeled.label, batch.unlabeled.image
        networks, ramp = list(self.children()), sigmoid_rampup(clock.progress)
        attacks = [self.attack(net, u) for net in networks]
        following = [*range(1, len(networks)), 0]
        outputs = [
            net(torch.cat([x, u, attacks[k]])).split([len(x), len(u), len(u)])
            for net, k in zip(networks, following, strict=True)
        ]
        labeled, clean, attacked = zip(*outputs, strict=True)

        own = self.parts(batch.labeled.case, minimize)
        p = torch.stack([self.probability(logits) for logits in clean])
        # JS(p₁, …, p_n) = H(mean of p_k) − mean of H(p_k)
        divergence = self.entropy(p.mean(0)).mean() - torch.stack([self.entropy(each).mean() for each in p]).mean()
        minimize(
            networks,
            supervised=sum(dice_ce(logits, self.only(y, mine)) for logits, mine in zip(labeled, own, strict=True)),
            divergence=self.weight * ramp * divergence,
            diversity_unlabeled=self.diversity
            * ramp
            * sum(
                soft_cross_entropy(logits, p[k], exclusive=self.exclusive)
                for logits, k in zip(attacked, following, strict=True)
            ),
        )

    def parts(self, case: Tensor, minimize: Minimize) -> Tensor:
        """Which of the labeled images (networks, B) each network learns from."""
        own = to_device(case % len(self.found) == torch.arange(len(self.found))[:, None], self.found.device)
        met = minimize.mean(own.any(1).float()) > 0  # in any of the processes
        self.found.copy_(self.found.maximum(met.float()))
        return own | (self.found == 0).any() | (not self.apart)

    def only(self, label: Tensor, mine: Tensor) -> Tensor:
        """The label of the images (B,) that are a network's own; the others are ignored."""
        return label.where(mine.view(-1, *[1] * (label.ndim - 1)), IGNORE)

    def attack(self, network: nn.Module, u: Tensor) -> Tensor:
        """The fast gradient sign's adversarial example (B, C, *spatial): where the network doubts its decision most.

        Goodfellow et al., ICLR 2015, arXiv:1412.6572.
        """
        u = u.detach().requires_grad_()
        logits = network(u)
        (slope,) = torch.autograd.grad(voxel_cross_entropy(logits, self.decide(logits)[1]).sum(), u)
        return u.detach() + self.epsilon * slope.sign()
