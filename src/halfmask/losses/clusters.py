"""Clusters as labels: classifiers by cosine, and cross-entropy in which all clusters weigh the same."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from halfmask.losses.segmentation import cross_entropy, precise


def cosines(maps: Tensor, centers: Tensor) -> Tensor:
    """(B, K, *spatial), float32: of each voxel's features (B, F, *spatial) with K centers (K, F)."""
    with torch.autocast(maps.device.type, enabled=False):
        directions = F.normalize(precise(maps), dim=1)
        return torch.einsum("bf...,kf->bk...", directions, F.normalize(precise(centers), dim=1))


def view_losses(
    maps: Sequence[Tensor], labels: Sequence[Tensor], centers: Tensor, shares: Tensor
) -> tuple[Tensor, Tensor]:
    """Cross-entropy of two views against their own clusters, and against each other's.

    Cho et al., CVPR 2021, arXiv:2103.17070, Eqs. 4–7: labels of a view are told by that view's centers; each loss is
    the mean over both views, with weights against the size of clusters.

    Args:
        maps: features of each view (B, F, *spatial), which lie on each other.
        labels: cluster numbers of each view (B, *spatial), or `IGNORE` where the views do not lie on each other.
        centers: (2, K, F); shares: (2, K), of all voxels, of each view's clusters.
    """
    weights = 1 / shares.clamp(min=1e-3)  # of a cluster of hardly any voxels one that is not boundless
    loss = lambda m, view: cross_entropy(cosines(m, centers[view]), labels[view], weights[view])
    one, other = maps
    return (loss(one, 0) + loss(other, 1)) / 2, (loss(one, 1) + loss(other, 0)) / 2
