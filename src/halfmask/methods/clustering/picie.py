"""PiCIE: voxels keep their cluster in other intensities, and clusters move as the image does."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from halfmask.augment.geometry import Geometry
from halfmask.augment.views import strong
from halfmask.config import Count, Share
from halfmask.data.batch import IGNORE
from halfmask.learning.kmeans import kmeans
from halfmask.learning.method import Clusterer
from halfmask.learning.recipe import Recipe
from halfmask.losses.clusters import cosines, view_losses
from halfmask.losses.segmentation import precise
from halfmask.networks.blocks import CONV
from halfmask.networks.factory import Builder
from halfmask.networks.segmenter import SegmentationNetwork

VECTORS = {2: 64, 3: 1024}
"""Features of each image that are clustered, by dims."""


class PiCIE(Clusterer):
    """Cho et al., CVPR 2021, arXiv:2103.17070; settings of S4MI.

    Of each image there are two views in other intensities. A crop, perhaps mirrored, is taken of the *image* of the
    second, and of the *features* of the first, so that both lie on each other. Before each epoch the features of each
    view are clustered for themselves (`sweep`). During it the centers are classifiers by cosine, and the clusters that
    the network of before the epoch gives to a view are the labels, of that view and of the other: ½ (within + cross),
    each cluster with the same weight. A view is classified by the centers that its labels are from.

    Features are the network's finest maps, averaged to ``stride``, through a 1×1 convolution; `predict` brings the
    cosines back to the image's size. Their mean over the sweep is taken off: without, all features of a fresh network
    point the same way, the cosines hardly differ and nothing is learned. The paper starts from ImageNet's weights
    (``--init`` here). The public code weights the loss by the size of clusters, not against it, and clusters by
    mini-batches; we cluster a sample of all images' features at once, on the device. Labels are computed from the
    step's own views by a copy of the network, where the code keeps maps of all images.

    K-means names no cluster, and finds what differs most in the images, which may not be what is sought.

    Args:
        clusters: K.
        features: of each voxel, that are clustered.
        stride: of the maps that are clustered, in voxels of the image at most; not across thick slices.
        crop: the least share of an image that the second view shows.
    """

    recipe = Recipe("sgd", 0.01, 0.9, 5e-4, schedule="step", labeled=0)
    center: Tensor
    centers: Tensor
    shares: Tensor

    def __init__(
        self,
        network: Builder,
        *,
        clusters: Annotated[int, Field(ge=2, le=255)] = 2,
        features: Count = 128,
        stride: Count = 4,
        crop: Share = 0.5,
    ):
        super().__init__(network)
        self.student = network(classes=features)
        self.student.head = CONV[network.dims](self.student.map_widths[0], features, 1)  # some heads enlarge too
        self.before = copy.deepcopy(self.student).requires_grad_(False)  # as it was when the epoch began
        self.clusters, self.crop = clusters, crop
        self.stride = strides(self.student, stride, self.space.free)
        self.register_buffer("center", torch.zeros(features))
        self.register_buffer("centers", torch.zeros(2, clusters, features))
        self.register_buffer("shares", torch.full((2, clusters), 1 / clusters))

    @torch.no_grad()
    def sweep(self, batches):
        found = []
        for images in batches:
            views, geometry = self._views(images.image)
            inside = geometry.inside().flatten().nonzero()[:, 0]
            some = torch.randperm(len(inside))[: VECTORS[len(self.stride)] * len(images)].to(inside.device)
            flat = [m.movedim(1, -1).flatten(0, -2)[inside[some]] for m in self._maps(self.student, views, geometry)]
            found.append(torch.stack(flat))
        vectors = torch.cat(found, 1)
        self.center.copy_(vectors.mean((0, 1)))
        for view, directions in enumerate(F.normalize(vectors - self.center, dim=2)):
            self.centers[view] = kmeans(directions, self.clusters)
            nearest = (directions @ self.centers[view].T).argmax(1)
            self.shares[view] = nearest.bincount(minlength=self.clusters) / len(nearest)
        self.before.load_state_dict(self.student.state_dict())

    def step(self, batch, minimize, clock):
        views, geometry = self._views(batch.unlabeled.image)
        outside = ~geometry.inside()[:, 0]
        with torch.no_grad():
            labels = [
                cosines(m - self._middle(m), centers).argmax(1).masked_fill(outside, IGNORE)
                for m, centers in zip(self._maps(self.before, views, geometry), self.centers, strict=True)
            ]
        maps = [m - self._middle(m) for m in self._maps(self.student, views, geometry)]
        within, cross = view_losses(maps, labels, self.centers, self.shares)
        minimize(self.student, within=within / 2, cross=cross / 2)

    def predict(self, image):
        m = self._features(self.student, image)
        near = cosines(m - self._middle(m), self.centers[0])
        mode = "bilinear" if image.ndim == 4 else "trilinear"
        return F.interpolate(near, image.shape[2:], mode=mode).softmax(1)

    def _views(self, image: Tensor) -> tuple[Tensor, Geometry]:
        """Both views of each image (2 B, C, *spatial), and how the features of the first are to be moved."""
        geometry = self.space.crop(image, share=(self.crop, 1.0))
        return torch.cat([strong(image), geometry.image(strong(image))]), geometry.coarser(self.stride)

    def _maps(self, network: SegmentationNetwork, views: Tensor, geometry: Geometry) -> tuple[Tensor, Tensor]:
        """Features of both views (B, F, *coarse), which lie on each other."""
        one, other = self._features(network, views).chunk(2)
        return geometry.image(one), other

    def _features(self, network: SegmentationNetwork, image: Tensor) -> Tensor:
        coarse = [n // s for n, s in zip(image.shape[2:], self.stride, strict=True)]
        maps = F.interpolate(network.decode(network.encode(image))[0], coarse, mode="area")
        return precise(network.head(maps))

    def _middle(self, maps: Tensor) -> Tensor:
        return self.center.view(-1, *[1] * (maps.ndim - 2))


def strides(network: SegmentationNetwork, most: int, free: Sequence[bool]) -> tuple[int, ...]:
    """Of the maps that are clustered: the network's finest, times what divides them without going beyond ``most``."""
    found = []
    for side, finest, able in zip(network.patch, network.strides[0], free, strict=True):
        fits = [n for n in range(1, most // finest + 1) if side // finest % n == 0] if able else []
        found.append(finest * max(fits, default=1))
    return tuple(found)
