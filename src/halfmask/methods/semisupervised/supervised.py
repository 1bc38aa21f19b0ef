"""Supervised training alone: what every other method has to beat."""

from __future__ import annotations

from halfmask.config import Weight
from halfmask.learning.method import Segmenter
from halfmask.learning.recipe import Recipe
from halfmask.losses.segmentation import dice_ce, weights_of
from halfmask.networks.factory import Builder


class Supervised(Segmenter):
    """Dice and cross-entropy on the labeled images; unlabeled ones are not read.

    With nnU-Net's optimizer, augmentation and sampling, so that the baseline is no straw man:
    Isensee et al., Nature Methods 2021, doi:10.1038/s41592-020-01008-z.

    Args:
        class_weights: of the cross-entropy, one for each class (background first) or region; all alike unless given.
    """

    recipe = Recipe(unlabeled=0)

    def __init__(self, network: Builder, *, class_weights: tuple[Weight, ...] | None = None):
        super().__init__(network)
        self.student = network()
        self.class_weights = weights_of(class_weights, network.classes)

    def step(self, batch, minimize, clock):
        logits = self.student(batch.labeled.image)
        minimize(self.student, supervised=dice_ce(logits, batch.labeled.label, self.class_weights))
