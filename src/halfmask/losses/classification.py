"""Cross-entropy of whole images, with classes weighed by how rare they are."""

from __future__ import annotations

import torch
from torch import Tensor

from halfmask.data.batch import IGNORE
from halfmask.losses.segmentation import cross_entropy, voxel_cross_entropy


def class_weights(counts: Tensor, beta: float) -> Tensor:
    """(1 − β) / (1 − βⁿ) for n images of a class, scaled so that the mean over all images is 1.

    Cui et al., CVPR 2019, arXiv:1901.05555, Eq. 3. β = 0 gives ones, β → 1 weights of 1 / n. A class without images
    weighs nothing.

    Args:
        counts: (1, K), or (2, K) of images without and with each class: then the mean is 1 in each column.

    Returns: float32, of the same shape.
    """
    n = counts.double()
    weight = 1 / n.clamp(min=1) if beta == 1 else (1 - beta) / (1 - beta ** n.clamp(min=1))
    weight = weight * (n > 0)
    over = 1 if len(counts) == 1 else 0
    return (weight * n.sum(over, keepdim=True) / (weight * n).sum(over, keepdim=True).clamp(min=1e-12)).float()


def weighted_cross_entropy(logits: Tensor, label: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean of −log p of the truth; with nothing known it is 0, with a gradient.

    Args:
        logits: (B, K).
        label: (B,) class numbers, or (B, K) of 0, 1 and `IGNORE`.
        weights: (1, K) of classes; or (2, K) of 0 and 1 of each.
    """
    if label.ndim == 1:
        return cross_entropy(logits, label, weights[0])
    known = label != IGNORE
    weight = torch.where(label == 1, weights[1], weights[0]) * known
    return (voxel_cross_entropy(logits, label) * weight).sum() / weight.sum().clamp(min=1e-12)
