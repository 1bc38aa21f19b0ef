"""What methods are put to the checks on: tiny networks, batches that can be learned from, methods in mid-training."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import torch

from halfmask.data.batch import IGNORE, Batch, Images
from halfmask.data.regions import region_labels
from halfmask.learning.method import Classifier, Clusterer, Method, Pretrainer
from halfmask.learning.minimize import Minimizer
from halfmask.learning.past import PastPredictions
from halfmask.networks.factory import Builder
from halfmask.networks.segmenter import SegmentationNetwork

CHANNELS, CLASSES, SIDE = 2, 3, 16
MEMBERS = np.array([[0, 0, 1], [1, 0, 0], [1, 1, 0]], bool)
"""Which class lies in which of three regions: the second lies within the first, the third is what no one sought."""
CASES = {f"case {number}": (2 * SIDE,) * 3 for number in range(3)}
"""The names and shapes of the cases that the images of `some_batch` are from."""
Make = Callable[[Builder], Method]


def small(dims: int, *, exclusive: bool = True, norm: str = "batch", dropout: float = 0.0) -> Builder:
    """Builds U-Nets of two levels, four features and three outputs, for images of 2 channels and 16 voxels a side."""
    pooling, kernels = [(1,) * dims, (2,) * dims], [(3,) * dims] * 2
    settings = {"width": 4, "norm": norm, "dropout": dropout}
    return Builder("unet", channels=CHANNELS, classes=CLASSES, exclusive=exclusive, dims=dims,
                   patch=(SIDE,) * dims, pooling=pooling, kernels=kernels, settings=settings)  # fmt: skip


def some_batch(
    dims: int, *, exclusive: bool = True, sparse: float = 0.0, labeled: int = 2, unlabeled: int = 3
) -> Batch:
    """Random images whose labels are learnable from them; unequal halves, so that mixing them up fails.

    Args:
        exclusive: classes, not regions that overlap.
        sparse: share of the labels that nobody annotated.
    """
    shape = (SIDE,) * dims
    place = torch.cat([torch.eye(3)[:, 3 - dims :], torch.full((3, 1), SIDE / 2)], 1).double()

    def images(n: int) -> Images:
        label = torch.randint(0, CLASSES, (n, *shape))
        image = label[:, None] - 1 + 0.5 * torch.randn(n, CHANNELS, *shape)
        places = place.repeat(n, 1, 1)
        places[len(CASES) :, 0, -1] = 0  # the first of each case begins at its eighth slice, others at its first
        return Images(image, label, torch.arange(n) % len(CASES), places)

    known, unknown = images(labeled), images(unlabeled)
    label = known.label.masked_fill(torch.rand(known.label.shape) < sparse, IGNORE)  # type: ignore[union-attr]
    if not exclusive:
        label = region_labels(label, MEMBERS)
    return Batch(known.with_(label=label), unknown.with_(label=None))


def some_images(dims: int, *, exclusive: bool = True, labeled: int = 6, unknown: float = 0.0) -> Batch:
    """Random images of a class each, or of several, that are as bright as it says; no unlabeled ones.

    Args:
        unknown: share of what nobody knows.
    """
    label = torch.randint(0, CLASSES, (labeled,)) if exclusive else torch.randint(0, 2, (labeled, CLASSES))
    level = label - 1.0 if exclusive else label.float() @ torch.tensor([-1.0, 0.5, 2.0])
    image = level.view(-1, *(1,) * (dims + 1)) + 0.5 * torch.randn(labeled, CHANNELS, *(SIDE,) * dims)
    known = label.masked_fill(torch.rand(label.shape) < unknown, IGNORE)
    numbers = torch.arange(labeled)
    return Batch(Images(image, known, numbers), Images(image[:0], None, numbers[:0]))


def batch_for(method: Method, dims: int, exclusive: bool = True) -> Batch:
    """`some_batch` as the method is given it: without a labeled half for one that learns from images alone."""
    if isinstance(method, Pretrainer | Clusterer):
        return some_batch(dims, labeled=0, unlabeled=4)
    if isinstance(method, Classifier):
        return some_images(dims, exclusive=exclusive)
    return some_batch(dims, exclusive=exclusive)


def begun(method: Method) -> Method:
    """A method that knows the cases, and trains."""
    method.begin(CASES)
    return method.train()


def swept(method: Method) -> Method:
    """A method that makes clusters has seen images as before an epoch; nothing happens to others."""
    if isinstance(method, Clusterer):
        with torch.autocast("cpu", enabled=False):  # a sweep is in float32
            method.sweep(some_batch(len(method.space.spacing), unlabeled=4).unlabeled for _ in range(3))
    return method


def counted(method: Method, exclusive: bool = True) -> Method:
    """A classifier knows how many images are of each class; nothing happens to others."""
    if isinstance(method, Classifier):
        method.count(torch.tensor([5, 1, 9]) if exclusive else torch.tensor([[5, 6, 1], [1, 3, 6]]))
    return method


def arranged(method: Method) -> Method:
    """A method in the middle of training: networks that differ from each other, are sure of what they say, and have
    said something of every case before.

    Only then must every loss be positive: a fresh teacher equals its student, and a fresh network is
    sure of nothing, so that no pseudo-label would be kept.
    """
    with torch.no_grad():
        for network in method.children():
            for p in network.parameters():
                spread = p.std(correction=0).clamp(min=0.03)  # norms' weights are all alike
                p.add_(0.3 * spread * torch.randn_like(p))
            for segmenter in (m for m in network.modules() if isinstance(m, SegmentationNetwork)):
                for p in segmenter.head.parameters():
                    p.mul_(30)
    swept(begun(method))
    for past in (m for m in method.modules() if isinstance(m, PastPredictions)):
        images = some_batch(len(method.space.spacing)).unlabeled
        past.remember(images, torch.rand(len(images), CLASSES, *images.image.shape[2:]).softmax(1))
    return method


def minimizer(method: Method, kind: type[Minimizer] = Minimizer) -> Minimizer:
    return kind(method, method.optimizers(functools.partial(torch.optim.SGD, lr=0.1)))
