"""Whether features mean something: what simple classifiers make of them, frozen, and how many directions they use."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from math import prod

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from halfmask.data.batch import IGNORE, Images
from halfmask.networks.backbone import Backbone
from halfmask.progress import say

COARSEST = 4
"""Features are probed on a grid whose voxels are at most so many of the image's wide."""
EACH = 200
"""Cells of a class, of either half, at most: so that no class outweighs the others."""
NEIGHBORS = 10
COLLAPSED = 1.5
"""Embeddings with an effective rank below this all lie on a line, or at a point."""


class Probe:
    """Looks at a network's features on the same crops again and again; nothing is trained by it.

    Args:
        crops: their embeddings tell whether features have collapsed.
        known, asked: labeled crops of other cases each, to fit simple classifiers of cells on and to measure them;
            None where there are not enough labels.
    """

    def __init__(self, crops: Images, known: Images | None = None, asked: Images | None = None):
        self.crops, self.known, self.asked = crops, known, asked
        self.warned = False

    @torch.no_grad()
    def look(self, network: Backbone) -> dict[str, float]:
        """Effective rank of the embeddings, and balanced accuracy of k-NN and linear probe where labels allow."""
        rank = effective_rank(_embedded(network, self.crops.image))
        if rank < COLLAPSED and not self.warned:
            self.warned = True
            say(f"the features of all images are nearly the same (effective rank {rank:.2f}): they have collapsed")
        figures = {"rank": rank}
        if self.known is not None and self.asked is not None:
            known, asked = (_features(network, images) for images in (self.known, self.asked))
            figures |= {f"{name} accuracy": value for name, value in accuracies(*known, *asked).items()}
        return figures


def effective_rank(embeddings: Tensor) -> float:
    """How many directions vectors (N, F) use, from 1 to min(N − 1, F): exp of the entropy of the shares of their
    covariance's singular values.

    Roy & Vetterli, EUSIPCO 2007; as a measure of collapse Garrido et al., "RankMe", ICML 2023, arXiv:2210.02885,
    without its small ε. Vectors that are all the same count as 1; of some that are not finite none can be told: NaN.
    """
    if not embeddings.isfinite().all():
        return math.nan
    centered = (embeddings - embeddings.mean(0)).double()
    scale = embeddings.double().abs().max().clamp(min=1e-300)
    values = torch.linalg.svdvals(centered / scale).square()
    if values.sum() < 1e-12:
        return 1.0
    share = values / values.sum()
    return float(torch.special.entr(share).sum().exp())


def accuracies(known: Tensor, classes: Tensor, asked: Tensor, truth: Tensor) -> dict[str, float]:
    """Balanced accuracy of k nearest neighbors (cosine) and of logistic regression, by name.

    Args:
        known, asked: features (N, F) to learn from and to classify.
        classes, truth: their class numbers (N,).
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if len(classes.unique()) < 2 or not len(truth) or not torch.cat([known, asked]).isfinite().all():
        return {}
    there = torch.isin(truth, classes)  # of classes that only the other half has nobody can know
    asked, truth = asked[there], truth[there]
    if not len(truth):
        return {}
    probes = {
        "k-NN": KNeighborsClassifier(min(NEIGHBORS, len(known)), metric="cosine", weights="distance"),
        "linear": make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=200)),
    }
    given = [each.numpy().astype(np.float64) for each in (known, asked)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # 200 iterations are near enough
        return {
            name: float(balanced_accuracy_score(truth.numpy(), probe.fit(given[0], classes.numpy()).predict(given[1])))
            for name, probe in probes.items()
        }


def _embedded(network: Backbone, image: Tensor, size: int = 16) -> Tensor:
    return torch.cat([network.embed(part).float() for part in image.split(size)]).cpu()


def _features(network: Backbone, images: Images) -> tuple[Tensor, Tensor]:
    """Features (N, F) and classes (N,): of whole images where these have classes, else of cells.

    Of whole images as many of each class as there are of the rarest; of several that an image may have the first tells.
    """
    assert images.label is not None
    if images.label_map is not None:
        return _cells(network, images)
    classes = images.label if images.label.ndim == 1 else images.label[:, 0]
    found = [(classes == k).nonzero()[:, 0] for k in classes.unique() if k != IGNORE]
    chosen = torch.cat([places[: min(map(len, found))] for places in found]) if found else classes[:0].long()
    return _embedded(network, images.image[chosen]), classes[chosen].cpu()


def _cells(network: Backbone, images: Images, size: int = 16) -> tuple[Tensor, Tensor]:
    """Features (N, F) at cells of the image, and the commonest class there (N,), of each class at most `EACH`.

    A cell is a voxel of the probed level; its features are that level's and those of all deeper ones there.
    """
    assert images.label is not None
    level = probed_level(network.strides)
    features = torch.cat([_columns(network.encode(part)[level:]) for part in images.image.split(size)])
    label = images.label if images.label.ndim == images.image.ndim - 1 else _first_region(images.label)
    classes = commonest(label, network.strides[level])
    vectors, classes = features.movedim(1, -1).flatten(0, -2).cpu(), classes.flatten().cpu()
    chosen = torch.cat([_evenly((classes == k).nonzero()[:, 0]) for k in classes.unique() if k != IGNORE] or
                       [torch.zeros(0, dtype=torch.long)])  # fmt: skip
    return vectors[chosen], classes[chosen]


def _columns(features: Sequence[Tensor]) -> Tensor:
    """Features of several levels, finest first, side by side on the finest's grid."""
    shape = features[0].shape[2:]
    return torch.cat([F.interpolate(each.float(), shape, mode="nearest") for each in features], 1)


def probed_level(strides: Sequence[Sequence[int]]) -> int:
    """The deepest level whose voxels are at most `COARSEST` of the image's wide; the first if none is."""
    return max([k for k, stride in enumerate(strides) if max(stride) <= COARSEST], default=0)


def commonest(label: Tensor, stride: Sequence[int]) -> Tensor:
    """The class (B, *spatial / stride) that most annotated voxels of each cell have; `IGNORE` where none has one.

    Args:
        label: (B, *spatial), class numbers or `IGNORE`.
    """
    known = label != IGNORE
    count = int(label[known].max()) + 1 if known.any() else 1
    onehot = F.one_hot(torch.where(known, label, 0), count).movedim(-1, 1).float() * known[:, None]
    pool = {2: F.avg_pool2d, 3: F.avg_pool3d}[len(stride)]
    share = pool(onehot, tuple(stride))
    return torch.where(share.sum(1) * prod(stride) > 0.5, share.argmax(1), IGNORE)


def _first_region(label: Tensor) -> Tensor:
    """Regions (B, K, *spatial) as classes: the first that a voxel is in, counted from 1; 0 for none."""
    unknown = (label == IGNORE).all(1)
    inside = label == 1
    first = torch.where(inside.any(1), inside.int().argmax(1) + 1, 0)
    return torch.where(unknown, IGNORE, first)


def _evenly(places: Tensor) -> Tensor:
    return places[:: max(1, -(-len(places) // EACH))]
