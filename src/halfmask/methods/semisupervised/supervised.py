"""Supervised training alone: what every other method has to beat."""

from __future__ import annotations

from halfmask.learning.method import Segmenter
from halfmask.learning.recipe import Recipe
from halfmask.losses.segmentation import dice_ce
from halfmask.networks.factory import Builder


class Supervised(Segmenter):
    """Dice and cross-entropy on the labeled images; unlabeled ones are not read.

    With nnU-Net's optimizer, augmentation and sampling, so that the baseline is no straw man:
    Isensee et al., Nature Methods 2021, doi:10.1038/s41592-020-01008-z.
    """

    recipe = Recipe(unlabeled=0)

    def __init__(self, network: Builder):
        super().__init__(network)
        self.student = network()

    def step(self, batch, minimize, clock):
        minimize(self.student, supervised=dice_ce(self.student(batch.labeled.image), batch.labeled.label))
