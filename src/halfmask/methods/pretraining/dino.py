"""DINO: a student says of small crops what its average says of large ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from halfmask.augment.views import strong
from halfmask.config import Count, Positive, Share
from halfmask.learning.average import average_of, follow
from halfmask.learning.method import Pretrainer
from halfmask.learning.recipe import Recipe
from halfmask.learning.schedules import cosine
from halfmask.losses.distillation import cross_view, sharpened
from halfmask.networks.factory import TRANSFORMERS, Builder
from halfmask.networks.heads import PrototypeHead


class DINO(Pretrainer):
    """Caron et al., ICCV 2021, arXiv:2104.14294.

    Two global crops and several local ones of each image, in other intensities (`augment.views.strong` stands for the
    paper's colors and blur). The teacher, an average of the student's weights, sees the global crops; the student
    sees all and is to say the same of each other crop. Local crops come in half the patch's sides, as in the paper,
    where the network takes them, else in the patch's shape. The teacher goes over.

    Head and prototypes are smaller than the paper's (2048 and 65536), which are for a million images. Its warm-up of
    10 and 30 epochs, of 100 and 300, and its frozen last layer in the first of 100 are shares of training here. The
    rate is the paper's for 256 images; the weight decay stays at its start, 0.04. Two things are ours, without which
    small batches of images that are much alike end with a teacher that says nothing (its code has batch norm in the
    head as an option, and starts centers at 0): the head standardizes embeddings over the batch, and the center
    starts from the first batch.

    Args:
        local: local crops of each image; 0 leaves the two global ones.
        share: the least share of an image that a global crop shows, and the most that a local one does.
        least: that a local crop shows.
        temperature: τ_s, of the student.
        teacher_temperature: τ_t after its warm-up from 0.04; None is 0.07 for Transformers and 0.04 for convolutions.
        warmup: share of training in which the rate and τ_t rise.
        momentum: of the teacher at the start; it rises to 1. The paper's code advises 0.9995 for small batches.
        center: momentum of the center.
        frozen: share of training, from its start, in which the prototypes stay as they are.
        prototypes: the head's outputs, K.
        hidden: features within the head.
        bottleneck: features that are compared with prototypes.
    """

    recipe = Recipe("adamw", 5e-4, weight_decay=0.04, schedule="cosine", clip=3.0, labeled=0, unlabeled=8)
    keeps: ClassVar[Mapping[str, tuple[str, ...]]] = {"teacher": ("encoder",)}
    center: Tensor

    def __init__(
        self,
        network: Builder,
        *,
        local: Annotated[int, Field(ge=0)] = 6,
        share: Share = 0.4,
        least: Share = 0.05,
        temperature: Positive = 0.1,
        teacher_temperature: Positive | None = None,
        warmup: Share = 0.1,
        momentum: Share = 0.996,
        center: Share = 0.9,
        frozen: Share = 0.01,
        prototypes: Count = 1024,
        hidden: Count = 512,
        bottleneck: Count = 256,
    ):
        super().__init__(network)
        if not 0 < least <= share:
            raise ValueError(f"method 'dino': local crops show from least={least:g} to share={share:g} of an image")
        self.student = network.encoder()
        self.head = PrototypeHead(self.student.widths[-1], hidden, bottleneck, prototypes)
        self.teacher, self.teacher_head = average_of(self.student), average_of(self.head)
        self.register_buffer("center", torch.zeros(prototypes))
        half = tuple(side // 2 for side in network.patch)
        self.small = half if self.student.takes(half) else tuple(network.patch)
        self.final = teacher_temperature or (0.07 if network.name in TRANSFORMERS else 0.04)
        self.local, self.share, self.least, self.temperature = local, share, least, temperature
        self.warmup, self.momentum, self.pace, self.frozen = warmup, momentum, center, frozen

    def rate(self, clock, scheduled):
        return scheduled * self._warm(clock.step + 1, clock.steps)

    def step(self, batch, minimize, clock):
        u, frozen = batch.unlabeled.image, clock.progress < self.frozen
        if len(u) < 2:
            raise ValueError("method 'dino' standardizes embeddings over the batch; give --batch 2 or more")
        large = self._crops(u, 2, tuple(u.shape[2:]), (self.share, 1.0))
        parts = [large, self._crops(u, self.local, self.small, (self.least, self.share))] if self.local else [large]

        with torch.no_grad():
            said = self.teacher_head(self.teacher.embed(large)).unflatten(0, (2, len(u)))
        mean = minimize.mean(said.mean((0, 1)))
        if clock.step == 0:
            self.center.copy_(mean)
        target = sharpened(said, self.center, self._teacher_temperature(clock))
        told = [self.head(self.student.embed(crops), frozen=frozen).unflatten(0, (-1, len(u))) for crops in parts]
        minimize([self.student, self.head], distillation=cross_view(torch.cat(told), target, self.temperature))

        momentum = 1 - (1 - self.momentum) * cosine(clock.progress)
        follow(self.teacher, self.student, momentum)
        follow(self.teacher_head, self.head, momentum)
        self.center.lerp_(mean, 1 - self.pace)

    def _crops(self, image, count, shape, share):
        """Crops (count · B, C, *shape), all images' first, then all their second, …"""
        images = image.repeat(count, *[1] * (image.ndim - 1))
        return strong(self.space.crop(images, shape, share=share).image(images))

    def _teacher_temperature(self, clock):
        start = min(0.04, self.final)
        return start + (self.final - start) * self._warm(clock.step, clock.steps)

    def _warm(self, step, steps):
        """Rises to 1 in the warm-up."""
        return min(1.0, step / (self.warmup * steps)) if self.warmup else 1.0
