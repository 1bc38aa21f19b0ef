"""Rotation, inpainting, contrast: SSL²'s and Swin UNETR's pre-training, three tasks of one encoder."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from halfmask.augment.draw import histogram_levels, to_device
from halfmask.augment.intensity import histogram_shift
from halfmask.augment.pretext import Cutouts
from halfmask.augment.turns import Turns
from halfmask.config import Count, Positive, Weight
from halfmask.learning.method import Pretrainer
from halfmask.losses.contrastive import subject_contrast
from halfmask.losses.segmentation import precise
from halfmask.networks.factory import Builder
from halfmask.networks.heads import perceptron, standardized
from halfmask.networks.reconstruction import reconstruction


class RotationInpaintingContrast(Pretrainer):
    """SSL² (Wang et al., 2023, arXiv:2303.05026, §2.4); after Tang et al., CVPR 2022, arXiv:2111.14791.

    Two views of each image are turned, changed in intensity by `histogram_shift` and lose boxes (`augment.pretext`).
    The encoder is to tell the rotation, the reconstruction what was in the boxes (L1 over the whole view), the
    projection which views are of one image.

    Where the paper is silent or cannot be as printed: what is reconstructed is the turned image with its intensities
    shifted as the view's are, because no task is to learn from that shift; so the boxes come after it, not before.
    The reconstruction has as many up-samplings as the encoder has strides (the paper's four do not reach its 96³).
    Embeddings are means over the bottleneck, standardized over the batch: after instance norm they are so much alike
    that rotations are not learned without. Rotations are those of one plane, of the last two axes where it allows
    quarters of a turn; else see `augment.turns`. A batch that is of one subject by chance has no contrast: 0.

    Args:
        rotation: λ1, of the loss of that name.
        inpainting: λ2.
        contrast: λ3.
        temperature: τ.
        features: of the projection, in which views are compared.
    """

    held = 0.2

    def __init__(
        self,
        network: Builder,
        *,
        rotation: Weight = 1.0,
        inpainting: Weight = 1.0,
        contrast: Weight = 1.0,
        temperature: Positive = 0.5,
        features: Count = 512,
    ):
        super().__init__(network)
        self.student = network.encoder()
        self.turns = Turns.of(network.patch, self.space.spacing, "plane", self.student.takes)
        width = self.student.widths[-1]
        self.classifier = perceptron(width, width, len(self.turns))
        self.reconstruction = reconstruction(self.student, self.turns.shape)
        self.projection = nn.Linear(width, features)
        self.rotation, self.inpainting, self.contrast = rotation, inpainting, contrast
        self.temperature = temperature

    def begin(self, cases):
        if len(cases) < 2:
            raise ValueError(f"the contrast is between subjects, and there is one alone: {', '.join(cases)}")

    def step(self, batch, minimize, clock):
        image, case = batch.unlabeled.image, batch.unlabeled.case
        if len(image) < 2:
            raise ValueError("the contrast is between subjects, and one image is of one: give --batch 2 or more")
        view, whole, which = self._views(torch.cat([image, image]))

        features = self.student.encode(view)[-1]
        embedding = standardized(features.flatten(2).mean(2))
        rotation = precise(self.classifier(embedding))
        one, other = self.projection(embedding).chunk(2)
        minimize(
            [self.student, self.classifier, self.reconstruction, self.projection],
            rotation=self.rotation * F.cross_entropy(rotation, to_device(which, image.device)),
            inpainting=self.inpainting * F.l1_loss(precise(self.reconstruction(features)), whole),
            contrast=self.contrast * subject_contrast(one, other, case, self.temperature),
        )

    def judge(self, image):
        view, whole, _ = self._views(image)
        return F.l1_loss(precise(self.reconstruction(self.student.encode(view)[-1])), whole)

    def _views(self, image):
        """Images turned, shifted and with boxes; the same without boxes; and by which rotation."""
        (which,) = self.turns.draw(len(image))
        turned = self.turns(image, which)
        whole = histogram_shift(turned, histogram_levels(turned.shape[:2]))
        return Cutouts.draw(whole)(whole), whole, which
