"""Losses that pull a prediction to another one, on images without labels."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from halfmask.losses.segmentation import precise, voxel_cross_entropy


def probability_mse(probability: Tensor, target: Tensor) -> Tensor:
    """Mean over voxels and classes of the squared difference of probabilities (B, K, *spatial); no gradient to target.

    The mean over classes, as in the public code of mean teacher (Tarvainen & Valpola, arXiv:1703.01780), makes it
    1/K of the squared distance.
    """
    assert probability.shape == target.shape, f"{tuple(probability.shape)} against {tuple(target.shape)}"
    return F.mse_loss(precise(probability), precise(target).detach())


def pseudo_label_ce(logits: Tensor, pseudo: Tensor, keep: Tensor | None = None) -> Tensor:
    """Cross-entropy of logits (B, K, *spatial) against hard labels, averaged over *all* voxels.

    The labels are class numbers (B, *spatial), or 0 and 1 for each region (B, K, *spatial). Where ``keep``, of
    their shape (bool, or weights), is False, or the label is `IGNORE`, a voxel contributes
    nothing, but still counts in the mean (Sohn et al., FixMatch, NeurIPS 2020, arXiv:2001.07685, Eq. 4):
    divided by the number kept, the few that are confident at first would have the weight of all.
    """
    each = voxel_cross_entropy(logits, pseudo)
    return (each if keep is None else each * keep).mean()


def mutual_mse(one: Tensor, other: Tensor, counts: Tensor | None = None) -> Tensor:
    """Mean over voxels and classes of the squared difference of probabilities (B, K, *spatial), gradient to both.

    Args:
        counts: (B, 1, *spatial), the voxels that do; all if None. Where none does the loss is 0, with a gradient.
    """
    assert one.shape == other.shape, f"{tuple(one.shape)} against {tuple(other.shape)}"
    error = (precise(one) - precise(other)).square().mean(1, keepdim=True)
    return error.mean() if counts is None else (error * counts).sum() / counts.sum().clamp(min=1)


def cosine_distance(one: Tensor, other: Tensor) -> Tensor:
    """Mean of 2 − 2 cos between vectors (B, F), in [0, 4]; gradient to both.

    It is the squared distance of vectors of length 1 (Grill et al., BYOL, NeurIPS 2020, arXiv:2006.07733, Eq. 2).
    """
    one, other = (F.normalize(precise(each), dim=1) for each in (one, other))
    return 2 - 2 * (one * other).sum(1).mean()
