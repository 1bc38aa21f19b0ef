"""Rotation: by how many quarters of a turn an image was turned."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from halfmask.augment.draw import to_device
from halfmask.augment.turns import Turns, Which
from halfmask.config import Count
from halfmask.learning.method import Pretrainer
from halfmask.losses.segmentation import precise
from halfmask.networks.factory import Builder
from halfmask.networks.heads import perceptron


class Rotation(Pretrainer):
    """Gidaris et al., ICLR 2018, arXiv:1803.07728; in 3D Taleb et al., NeurIPS 2020, arXiv:2006.03829.

    No other augmentation: a mirrored image would be told from a turned one by nothing. Quarters of a turn need a
    square or a cube of nearly equal spacings, so an image of other sides is cut to one about its center that the
    network takes (see `augment.turns`); where there is none, as for slices much thicker than their pixels, rotations
    are by halves alone.

    Args:
        rotations: in 3D those of one plane (4 classes), of each of three planes (10 that differ) or all that a cube has
            (24); in 2D there are 4.
        copies: each image comes in so many of its rotations at once; the paper's comes in all 4.
    """

    def __init__(self, network: Builder, *, rotations: Which = "planes", copies: Count = 4):
        super().__init__(network)
        self.student = network.encoder()
        width = self.student.widths[-1]
        self.turns = Turns.of(network.patch, self.space.spacing, rotations, self.student.takes)
        self.classifier = perceptron(width, width, len(self.turns))
        self.copies = min(copies, len(self.turns))

    def step(self, batch, minimize, clock):
        image = batch.unlabeled.image
        which = self.turns.draw(len(image), self.copies)
        views = self.turns(torch.cat([image] * self.copies), which.flatten())
        truth = to_device(which.flatten(), image.device)

        logits = precise(self.classifier(self.student.embed(views)))
        minimize([self.student, self.classifier], rotation=F.cross_entropy(logits, truth))
        minimize.log(accuracy=(logits.argmax(1) == truth).float().mean())
