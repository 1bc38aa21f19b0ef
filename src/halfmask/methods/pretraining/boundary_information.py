"""Boundary-aware information: clusters of voxels survive a move of the image, and end where it has edges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import torch
from pydantic import Field

from halfmask.augment.views import strong
from halfmask.config import Positive, Weight
from halfmask.learning.method import Pretrainer
from halfmask.losses.edges import edge_mismatch
from halfmask.losses.information import displaced_joints, information_loss
from halfmask.losses.segmentation import precise
from halfmask.networks.factory import Builder


class BoundaryInformation(Pretrainer):
    """Peng et al., "Boundary-aware information maximization", 2022, arXiv:2202.02371, doi:10.1016/j.media.2024.103150.

    The whole network over-segments images without labels. The cluster map of an image is moved as the image was for
    its second view, in other intensities; the mutual information of both maps is maximized, voxel by voxel and over
    small displacements. Encoder and decoder go over; the clusters' own last layer does not.

    The boundary term correlates the edges of cluster maps with the image's; see `edge_mismatch`. Where the authors'
    code has varied we take the length of the map's gradient for its edges, not its entropy, by which undecided voxels
    pass for a boundary; and the correlation, not its square, by which edges that avoid the image's pass for aligned.
    Their later term for the compactness of clusters is left out.

    Args:
        clusters: K, several times the number of structures.
        displacement: of neighbors that should tell of each other, in voxels along each axis; not across thick slices.
        balance: λ of `information_loss`, above 1 for clusters alike in size (1.5 in the authors' code).
        boundary: weight of the boundary term.
        window: side of the windows in which edges are correlated, in voxels, odd.
    """

    keeps: ClassVar[Mapping[str, tuple[str, ...]]] = {"student": ("encoder", "decoder")}

    def __init__(
        self,
        network: Builder,
        *,
        clusters: Annotated[int, Field(ge=2)] = 20,
        displacement: Annotated[int, Field(ge=0)] = 1,
        balance: Positive = 1.5,
        boundary: Weight = 0.1,
        window: Annotated[int, Field(ge=3)] = 5,
    ):
        super().__init__(network)
        if window % 2 == 0:
            raise ValueError(f"method 'boundary_information': window = {window} has no middle; take an odd number")
        self.student = network(classes=clusters)
        self.reach = tuple(displacement * able for able in self.space.free)
        self.balance, self.boundary, self.window = balance, boundary, window

    def step(self, batch, minimize, clock):
        u = batch.unlabeled.image
        geometry = self.space.draw(u, rotation=self.space.turn, scale=(0.8, 1.25))
        images, known = torch.cat([u, geometry.image(u)]), geometry.inside()
        maps = precise(self.student(strong(images))).softmax(1)
        here, moved = maps.chunk(2)
        joints = displaced_joints(geometry.probability(here), moved, self.reach, known)
        counts = torch.cat([torch.ones_like(known), known])
        minimize(
            self.student,
            information=information_loss(joints, self.balance),
            boundary=self.boundary * edge_mismatch(maps, images, self.window, self.space.free, counts),
        )
