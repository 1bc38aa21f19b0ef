"""Global and local contrast: images of one part of the anatomy are alike, and so is each place in two views."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from halfmask.augment.draw import to_device
from halfmask.augment.views import strong
from halfmask.config import Count, Positive, Share
from halfmask.learning.method import Pretrainer
from halfmask.learning.recipe import Recipe
from halfmask.losses.groups import group_contrast
from halfmask.networks.factory import Builder
from halfmask.networks.heads import perceptron, region_head
from halfmask.networks.levels import by


class GlobalLocalContrast(Pretrainer):
    """Chaitanya et al., NeurIPS 2020, arXiv:2006.10511: its losses G^D and L^R.

    The first half of the steps trains the encoder: images whose middles lie in the same partition of their cases along
    the first axis (of pictures, the axis of the slices), and their other views, are alike, those of other partitions
    are not. The second half trains the decoder with the encoder's weights frozen: a region of a map is the same in two
    intensity transforms, and other regions of that image are not. The encoder's batch norms still average there.

    Of the decoder the levels from the bottleneck to the ``blocks``-th are trained; finer ones are kept as they were
    made. Where we differ: regions are drawn, not fixed, and all others are negatives, not the five nearest; embeddings
    are means of the bottleneck's features; heads have no batch norm. The paper's images are slices; a patch of a volume
    that is as long as its case lies in no partition of its own, for which there is ``positives="subject"``.

    Args:
        positives: "partitions", or "subject" (Pedersoli, slides): views and crops of the same case are alike, those of
            others are not.
        partitions: of each case.
        temperature: τ.
        features: of the projections, in which images and regions are compared.
        crop: the least share of an image that a view shows, in the first half.
        blocks: decoder levels that the second half trains, at most all.
        regions: of each image that it compares, of 3 voxels a side.
    """

    recipe = Recipe("adam", 1e-3, weight_decay=0.0, schedule="constant", steps=20_000, labeled=0, unlabeled=8)
    keeps: ClassVar[Mapping[str, tuple[str, ...]]] = {"student": ("encoder", "decoder")}
    phases = (0.0, 0.5)

    def __init__(
        self,
        network: Builder,
        *,
        positives: Literal["partitions", "subject"] = "partitions",
        partitions: Annotated[int, Field(ge=2)] = 4,
        temperature: Positive = 0.1,
        features: Count = 128,
        crop: Share = 0.25,
        blocks: Count = 3,
        regions: Annotated[int, Field(ge=2)] = 13,
    ):
        super().__init__(network)
        self.positives, self.partitions, self.temperature = positives, partitions, temperature
        self.crop, self.count = crop, regions
        self.student = network()
        self.student.head = nn.Identity()
        self.projection = perceptron(self.student.widths[-1], self.student.widths[-1], features)
        self.level = max(0, len(self.student.widths) - 1 - blocks)
        stride, width = self.student.strides[self.level], self.student.map_widths[self.level]
        self.sides = tuple(n // s for n, s in zip(self.student.patch, stride, strict=True))
        self.size = tuple(min(3, side) for side in self.sides)
        self.local = region_head(network.dims, width, features, self.size)
        self.room = tuple(side // n for side, n in zip(self.sides, self.size, strict=True))
        if prod(self.room) < 2:
            raise ValueError(f"the decoder's maps of {by(self.sides)} hold a single region; take more blocks")
        self.depths = torch.empty(0)

    def begin(self, cases):
        self.depths = torch.tensor([shape[0] for shape in cases.values()])
        depth = self.student.patch[0] if self.student.dims == 3 else 1
        half = self.depths.clamp(max=depth) / 2
        first, last = self._partition(half, self.depths), self._partition(self.depths - half, self.depths)
        if self.positives == "partitions" and first.equal(last):
            raise ValueError(
                f"crops of {depth} slices from cases of at most {self.depths.max()} all lie in one partition; "
                "give --set positives=subject"
            )

    def step(self, batch, minimize, clock):
        if clock.progress < 0.5:
            minimize([self.student, self.projection], contrast=self._global(batch.unlabeled))
            minimize.log(stage=1)
        else:
            minimize([self.student, self.local], contrast=self._local(batch.unlabeled.image))
            minimize.log(stage=2)

    def _global(self, images):
        if len(images) < 2:
            raise ValueError("images are contrasted with others: give --batch 2 or more")
        x = images.image
        views = torch.cat([strong(self.space.crop(x, share=(self.crop, 1.0)).image(x)) for _ in range(2)])
        group = images.case if self.positives == "subject" else self.partition(images)
        group = to_device(group.repeat(2), x.device)
        same = group[:, None] == group
        return group_contrast(self.projection(self.student.embed(views)), same, ~same, self.temperature)

    def partition(self, images):
        """In which partition of its case the middle of each image lies: (B,), on the CPU."""
        assert images.place is not None, "nobody says where in their cases these images lie"
        middle = torch.tensor([(n - 1) / 2 for n in images.image.shape[2:]] + [1.0]).double()
        return self._partition(images.place[:, 0] @ middle + 0.5, self.depths[images.case])

    def _partition(self, at, depth):
        """Of a place ``at`` slices from the edge of a case of ``depth`` slices."""
        return (at / depth * self.partitions).floor().clamp(0, self.partitions - 1)

    def _local(self, image):
        with torch.no_grad():
            features = self.student.encode(torch.cat([strong(image), strong(image)]))
        x, *_ = self.student.decoder(features, self.level)
        for axis, (side, n) in enumerate(zip(self.sides, self.size, strict=True)):
            start = int(torch.randint(side % n + 1, ()))  # drawn on the CPU
            x = x.narrow(2 + axis, start, side - side % n)
        each = self.local(x).flatten(2).mT  # (2B, regions, features)
        drawn = torch.rand(len(image), prod(self.room)).argsort(1)[:, : self.count]
        drawn = to_device(drawn, x.device).repeat(2, 1)[..., None]
        one, other = each.take_along_dim(drawn, 1).chunk(2)
        region = torch.arange(drawn.shape[1], device=x.device).repeat(2)
        same = region[:, None] == region
        return group_contrast(torch.cat([one, other], 1), same, ~same, self.temperature)
