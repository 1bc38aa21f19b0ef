"""Classification: what a whole image shows, learned from labeled images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from halfmask.config import Share
from halfmask.learning.method import Classifier
from halfmask.learning.recipe import Recipe
from halfmask.losses.classification import class_weights, weighted_cross_entropy
from halfmask.networks.blocks import Dropout
from halfmask.networks.factory import Builder


class Classification(Classifier):
    """Singh et al., Scientific Reports 2024, doi:10.1038/s41598-024-61822-9 (S4MI).

    An encoder and a linear layer, fine-tuned together by cross-entropy.
    From random weights, or with ``--init`` from ImageNet's or from those that dino or cass made of the same images. Of
    classes of which an image may be several (``prepare --classes mel,nevus``) each is told by itself; those that nobody
    knows are left out.

    The paper names no recipe for classification; this is the one of its segmentation (Adam, 3.6e-4), with a rate that
    falls to 0.

    Args:
        balance: β of class-balanced weights, see `class_weights`: 0 weighs all images alike, 1 all classes. What is
            rare is then found more often, and the probabilities are those of a cohort with equally many of each.
        dropout: of the embedding.
    """

    recipe = Recipe("adam", 3.6e-4, weight_decay=1e-5, schedule="cosine", unlabeled=0)
    weights: Tensor

    def __init__(self, network: Builder, *, balance: Share = 0.999, dropout: Dropout = 0.0):
        super().__init__(network)
        self.student = network.encoder()
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(self.student.widths[-1], network.classes))
        self.balance = balance
        self.register_buffer("weights", torch.ones(1 if self.exclusive else 2, network.classes))

    def count(self, counts):
        self.weights.copy_(class_weights(counts.view_as(self.weights), self.balance))

    def step(self, batch, minimize, clock):
        logits = self.logits(batch.labeled.image)
        minimize(
            [self.student, self.head], supervised=weighted_cross_entropy(logits, batch.labeled.label, self.weights)
        )
