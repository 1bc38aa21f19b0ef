"""Supervised losses of segmentation: Dice and cross-entropy over the annotated voxels.

logits are (B, K, *spatial) of any float dtype, labels (B, *spatial) with classes 0…K−1 or `IGNORE`. All is
computed in float32 at least. Where no voxel is annotated each loss is exactly 0, with a gradient that is 0.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from halfmask.data.batch import IGNORE


def dice(logits: Tensor, label: Tensor, *, squared: bool = False, batch: bool = True, smooth: float = 1e-5) -> Tensor:
    """Mean over the foreground classes of 1 − (2 Σ p y + s) / (Σ p + Σ y + s), the soft Dice loss.

    nnU-Net's (arXiv:1904.08128): sums run over the whole batch, and the background is left out.

    A class absent from the labels adds a constant near 1 and next to no gradient, s / (Σ p + s)², until its
    probability is all but gone; pushing it down is the cross-entropy's part. Leaving such classes out of the
    mean would make a class weigh more the fewer others a batch happens to hold.

    Args:
        squared: Σ p² + Σ y² below (Milletari et al., 3DV 2016, arXiv:1606.04797).
        batch: False takes the Dice of each image, over those that have an annotated voxel.
        smooth: s, also what makes Dice 1 where there is nothing to find and nothing found.
    """
    assert logits.shape[1] > 1, "the softmax of one class is always 1: count the background as a class"
    annotated = (label != IGNORE)[:, None]
    # One byte per voxel and class; an ignored voxel writes False.
    truth = torch.zeros(logits.shape, dtype=torch.bool, device=logits.device)
    truth = truth.scatter_(1, label[:, None].where(annotated, 0), annotated)
    probability = precise(logits).softmax(1) * annotated

    axes = [0, *range(2, logits.ndim)] if batch else list(range(2, logits.ndim))
    both = (probability * truth).sum(axes)
    predicted = (probability.square() if squared else probability).sum(axes)
    actual = truth.sum(axes, dtype=both.dtype)
    score = ((2 * both + smooth) / (predicted + actual + smooth))[..., 1:]
    if batch:
        return 1 - score.mean()
    known = annotated.flatten(1).any(1, keepdim=True)
    return ((1 - score) * known).sum() / (known.sum() * score.shape[1]).clamp(min=1)


def cross_entropy(logits: Tensor, label: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean of −log p of the true class over the annotated voxels; with ``weight`` (K,) the weighted mean."""
    weight = None if weight is None else weight.to(precise(logits))
    each = F.cross_entropy(precise(logits), label, weight, ignore_index=IGNORE, reduction="none")
    annotated = label != IGNORE
    if weight is None:
        return each.sum() / annotated.sum().clamp(min=1)
    total = (weight[label.where(annotated, 0)] * annotated).sum()
    return each.sum() / total.where(total > 0, 1)


def dice_ce(logits: Tensor, label: Tensor, class_weights: Tensor | None = None, *, squared: bool = False) -> Tensor:
    """½ (Dice + cross-entropy).

    Args:
        class_weights: (K,), for the cross-entropy; Dice weighs all foreground classes alike as it is.
        squared: as in `dice`.
    """
    return (dice(logits, label, squared=squared) + cross_entropy(logits, label, class_weights)) / 2


def precise(x: Tensor) -> Tensor:
    """x in float32, or float64 where it already is."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
