"""Mutual information clustering: two views of an image are in the same cluster, and clusters are alike in size."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from halfmask.augment.views import strong
from halfmask.config import Count, Positive, Share
from halfmask.learning.method import Pretrainer
from halfmask.losses.information import information_loss, joint
from halfmask.losses.segmentation import precise
from halfmask.networks.factory import Builder
from halfmask.networks.heads import standardized


class MutualInformationClustering(Pretrainer):
    """Ji et al., "Invariant information clustering", ICCV 2019, arXiv:1807.06653.

    Soft clusters of two views' embeddings, by several linear heads; each maximizes I(ĉ, c̃). Views are random crops,
    mirrored where the plan allows it, in other intensities. The joint is that of one batch, and its information at
    most the log of its images: the paper's batches have hundreds; take as many as fit. Its auxiliary heads of more
    clusters count in every step here, and not in every second epoch.

    Embeddings are standardized over the batch before the heads, which is ours. All images start in all clusters
    alike, where the gradient is next to none, and stay there for long where embeddings hardly differ. The paper trains
    for thousands of epochs, by Adam at 1e-4.

    Args:
        clusters: K.
        heads: of which each clusters by itself; the loss is their mean.
        auxiliary: clusters of as many further heads, of which the paper has several times K; 0 leaves them out.
        balance: λ of `information_loss`; 1 is the mutual information.
        crop: the least share of an image that a view shows.
    """

    def __init__(
        self,
        network: Builder,
        *,
        clusters: Annotated[int, Field(ge=2)] = 10,
        heads: Count = 5,
        auxiliary: Annotated[int, Field(ge=0)] = 0,
        balance: Positive = 1.0,
        crop: Share = 0.25,
    ):
        super().__init__(network)
        self.student = network.encoder()
        self.sizes = (clusters, auxiliary) if auxiliary else (clusters,)
        self.assign = nn.ModuleList(nn.Linear(self.student.widths[-1], heads * k) for k in self.sizes)
        self.balance, self.crop = balance, crop

    def step(self, batch, minimize, clock):
        u = batch.unlabeled.image
        if len(u) < 2:
            raise ValueError("one image alone has no mutual information with its view; give --batch 2 or more")
        views = torch.cat([u, u])
        views = strong(self.space.crop(views, share=(self.crop, 1.0)).image(views))
        features, losses = standardized(self.student.embed(views)), []
        for k, assign in zip(self.sizes, self.assign, strict=True):
            p = precise(assign(features)).unflatten(1, (-1, k)).softmax(2).movedim(1, 0)  # (heads, 2 B, K)
            losses.append(information_loss(joint(*p.chunk(2, dim=1)), self.balance))
        minimize([self.student, self.assign], information=torch.stack(losses).mean())
