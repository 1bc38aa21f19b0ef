"""SimCLR: two views of an image are to be found among those of all others."""

from __future__ import annotations

import torch

from halfmask.augment.views import strong
from halfmask.config import Count, Positive, Share
from halfmask.learning.method import Pretrainer
from halfmask.losses.contrastive import nt_xent
from halfmask.networks.factory import Builder
from halfmask.networks.heads import perceptron, standardized


class SimCLR(Pretrainer):
    """Chen et al., ICML 2020, arXiv:2002.05709.

    Views are random crops, mirrored where the plan allows it, in other intensities: `augment.views.strong` stands for
    the paper's colors and blur. Its batches of 256 and more hardly fit volumes; with few images there are few
    negatives. Embeddings are standardized over the batch before the projection, in which the paper's code has batch
    norm: after instance norm in the encoder they are so much alike that the loss hardly falls without.

    Args:
        temperature: τ.
        features: of the projection, in which views are compared.
        crop: the least share of an image that a view shows.
    """

    def __init__(self, network: Builder, *, temperature: Positive = 0.5, features: Count = 128, crop: Share = 0.25):
        super().__init__(network)
        self.student = network.encoder()
        width = self.student.widths[-1]
        self.projection = perceptron(width, width, features)
        self.temperature, self.crop = temperature, crop

    def step(self, batch, minimize, clock):
        image = batch.unlabeled.image
        if len(image) < 2:
            raise ValueError("images are told from others: give --batch 2 or more")
        views = torch.cat([self._view(image) for _ in range(2)])
        one, other = self.projection(standardized(self.student.embed(views))).chunk(2)
        minimize([self.student, self.projection], contrast=nt_xent(one, other, self.temperature))

    def _view(self, image):
        return strong(self.space.crop(image, share=(self.crop, 1.0)).image(image))
