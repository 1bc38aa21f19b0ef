"""Jigsaw: in which of some orders an image's tiles were shuffled."""

from __future__ import annotations

from math import prod
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from halfmask.augment.draw import to_device
from halfmask.augment.puzzle import distant_permutations, puzzle
from halfmask.config import Count
from halfmask.learning.method import Pretrainer
from halfmask.losses.segmentation import precise
from halfmask.networks.factory import Builder
from halfmask.networks.heads import perceptron
from halfmask.networks.levels import by


class Jigsaw(Pretrainer):
    """Noroozi & Favaro, ECCV 2016, arXiv:1603.09246; several channels after Taleb et al., 2019, arXiv:1912.05396.

    We differ: the puzzle goes through the encoder as one image, so that any encoder will do, and features are
    pooled by cell before the head; in the paper each tile passes it alone. Tiles keep their intensities. Where Taleb
    et al. mix modalities in an image of one channel, here each tile shows one channel in its own place, so that the
    encoder goes on knowing which is which.

    Args:
        grid: tiles along each axis; 3 in 2D and 2 in 3D if None.
        permutations: classes; all that there are if those are fewer.
        gap: the share of a cell's side that its tile leaves free, within which it was cut at random.
        mix_channels: each tile shows one of several channels alone.
        hidden: features of the head.
    """

    def __init__(
        self,
        network: Builder,
        *,
        grid: tuple[Count, ...] | None = None,
        permutations: Annotated[int, Field(ge=2)] = 100,
        gap: Annotated[float, Field(ge=0, lt=1)] = 0.15,
        mix_channels: bool = True,
        hidden: Count = 512,
    ):
        super().__init__(network)
        self.grid = grid or {2: (3, 3), 3: (2, 2, 2)}[network.dims]
        tiles, patch = prod(self.grid), tuple(network.patch)
        if len(self.grid) != len(patch) or tiles < 2 or any(n < k for n, k in zip(patch, self.grid, strict=True)):
            raise ValueError(f"grid = {by(self.grid)} makes no puzzle of a patch of {by(patch)}")
        self.student = network.encoder()
        self.permutations = torch.tensor(distant_permutations(tiles, permutations))  # on the CPU, no state
        self.pooling = {2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}[network.dims](self.grid)
        self.classifier = perceptron(self.student.widths[-1] * tiles, hidden, len(self.permutations))
        self.gap, self.mix = gap, mix_channels and network.channels > 1

    def step(self, batch, minimize, clock):
        image = batch.unlabeled.image
        which = torch.randint(len(self.permutations), (len(image),))
        puzzles = puzzle(image, self.permutations[which], self.grid, self.gap, self.mix)
        truth = to_device(which, image.device)

        features = self.pooling(self.student.encode(puzzles)[-1])
        logits = precise(self.classifier(features.flatten(1)))
        minimize([self.student, self.classifier], order=F.cross_entropy(logits, truth))
        minimize.log(accuracy=(logits.argmax(1) == truth).float().mean())
