"""Co-training: networks that look at a volume from different sides label it for each other."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from halfmask.augment.orientation import orientations
from halfmask.config import Count, Weight
from halfmask.learning.method import Segmenter
from halfmask.learning.schedules import sigmoid_rampup
from halfmask.losses.segmentation import dice, dice_ce
from halfmask.networks.factory import Builder

LEAST = 1e-3
"""Doubt below counts as this: the weight of a network that is sure stays finite."""


class CoTraining(Segmenter):
    """Xia et al., WACV 2020, arXiv:1811.12506; in the manner of Zhou et al., arXiv:1804.02586, who train 2D networks.

    Each network sees the images in a layout of its own: a cube's three planes, a square's quarter turns, or axes
    reversed, as far as the patch keeps its shape. What the others say, brought back and averaged with weights
    1 / doubt voxel by voxel, labels the unlabeled images for it. Doubt is the variance of stochastic passes where the
    network has dropout, else the entropy of its prediction, which costs nothing. The loss is Dice, as in the paper,
    against the label of the average, not its probabilities: Dice against those is not least where they are met.

    To convolutions that treat all axes alike a layout is a relabeling of their kernels, so networks then differ by
    their first weights. The papers' networks do not: one sees a plane alone, the other has flat kernels.

    Args:
        weight: λ, of the consensus at the end of its ramp-up.
        views: networks, each with its own layout.
        passes: stochastic ones of each network in one batch, without gradient; not used without dropout.
        predict_with: the mean of all networks, as in the papers, or the first, which sees images as they are.
    """

    def __init__(
        self,
        network: Builder,
        *,
        weight: Weight = 0.2,
        views: Annotated[int, Field(ge=2)] = 3,
        passes: Count = 8,
        predict_with: Literal["mean", "student"] = "mean",
    ):
        super().__init__(network)
        found = orientations(network.patch, self.space.free)
        if views > len(found):
            raise ValueError(f"a patch of {tuple(network.patch)} voxels has {len(found)} layouts, not views = {views}")
        self.views = found[:views]
        self.student = network()
        for k in range(1, views):
            self.add_module(f"peer{k}", network())
        stochastic = any(isinstance(part, _DropoutNd) and part.p > 0 for part in self.modules())
        self.passes = passes if stochastic else 0
        self.weight, self.predict_with = weight, predict_with

    def predict(self, image):
        pairs = list(zip(self.children(), self.views, strict=True))[: None if self.predict_with == "mean" else 1]
        return torch.stack([self.probability(view.inverse(net(view(image)))) for net, view in pairs]).mean(0)

    def step(self, batch, minimize, clock):
        y, u, n = batch.labeled.label, batch.unlabeled.image, len(batch.labeled)
        networks = list(self.children())
        logits = [view.inverse(net(view(batch.image))) for net, view in zip(networks, self.views, strict=True)]
        p = [self.probability(each[n:].detach()) for each in logits]
        if self.passes:
            doubt = [view.inverse(self.variance(net, view(u))) for net, view in zip(networks, self.views, strict=True)]
        else:
            doubt = [self.entropy(each) for each in p]

        labels = [
            self.consensus([q for q in p if q is not own], [d for q, d in zip(p, doubt, strict=True) if q is not own])
            for own in p
        ]
        minimize(
            networks,
            supervised=sum(dice_ce(each[:n], y) for each in logits),
            consensus_unlabeled=self.weight
            * sigmoid_rampup(clock.progress)
            * sum(dice(each[n:], label) for each, label in zip(logits, labels, strict=True)),
        )

    def consensus(self, p: list[Tensor], doubt: list[Tensor]) -> Tensor:
        """The label of the weighted mean of probabilities (B, K, *spatial), by doubt as `entropy` gives it."""
        certain = 1 / torch.stack(doubt).clamp(min=LEAST)
        certain = certain / certain.sum(0)
        if self.exclusive:
            return (certain[:, :, None] * torch.stack(p)).sum(0).max(1).indices
        return ((certain * torch.stack(p)).sum(0) > 0.5).long()

    @torch.no_grad()
    def variance(self, network: nn.Module, image: Tensor) -> Tensor:
        """Of stochastic passes; of classes the mean: (B, *spatial), or (B, K, *spatial) for regions."""
        many = network(image.repeat(self.passes, *[1] * (image.ndim - 1)))
        each = self.probability(many).unflatten(0, (self.passes, len(image))).var(0, correction=0)
        return each.mean(1) if self.exclusive else each
