"""Supervised losses of segmentation: Dice and cross-entropy over the annotated voxels.

logits are (B, K, *spatial) of any float dtype. A label with one axis less, (B, *spatial), holds classes 0…K−1 that
exclude each other, the background first: the logits pass a softmax. A label with as many axes, (B, K, *spatial), holds
0 and 1 for each of K regions that may overlap: each logit passes a sigmoid by itself. Both hold `IGNORE` where nobody
annotated.

All is computed in float32 at least. Where no voxel is annotated each loss is exactly 0, with a gradient that is 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from halfmask.data.batch import IGNORE


def dice(logits: Tensor, label: Tensor, *, squared: bool = False, batch: bool = True, smooth: float = 1e-5) -> Tensor:
    """Mean over the foreground classes, or the regions, of 1 − (2 Σ p y + s) / (Σ p + Σ y + s), the soft Dice loss.

    nnU-Net's (arXiv:1904.08128): sums run over the whole batch, and the background is left out.

    A class absent from the labels adds a constant near 1 and next to no gradient, s / (Σ p + s)², until its
    probability is all but gone; pushing it down is the cross-entropy's part. Leaving such classes out of the
    mean would make a class weigh more the fewer others a batch happens to hold.

    Args:
        squared: Σ p² + Σ y² below (Milletari et al., 3DV 2016, arXiv:1606.04797).
        batch: False takes the Dice of each image, over those that have an annotated voxel.
        smooth: s, also what makes Dice 1 where there is nothing to find and nothing found.
    """
    probability, truth, annotated = _masked(logits, label)
    axes = [0, *range(2, logits.ndim)] if batch else list(range(2, logits.ndim))
    both = (probability * truth).sum(axes)
    predicted = (probability.square() if squared else probability).sum(axes)
    actual = truth.sum(axes, dtype=both.dtype)
    score = ((2 * both + smooth) / (predicted + actual + smooth))[..., 0 if overlapping(logits, label) else 1 :]
    if batch:
        return 1 - score.mean()
    known = annotated.flatten(1).any(1, keepdim=True)
    return ((1 - score) * known).sum() / (known.sum() * score.shape[1]).clamp(min=1)


def _masked(logits: Tensor, label: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Probabilities (B, K, *spatial), the truth of the same shape, both 0 where ignored, and what is annotated."""
    if overlapping(logits, label):
        annotated = label != IGNORE
        return precise(logits).sigmoid() * annotated, label == 1, annotated
    assert logits.shape[1] > 1, "the softmax of one class is always 1: count the background as a class"
    annotated = (label != IGNORE)[:, None]
    # One byte per voxel and class; an ignored voxel writes False.
    truth = torch.zeros(logits.shape, dtype=torch.bool, device=logits.device)
    truth = truth.scatter_(1, label[:, None].where(annotated, 0), annotated)
    return precise(logits).softmax(1) * annotated, truth, annotated


def cross_entropy(logits: Tensor, label: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean of −log p of the truth over the annotated voxels (and regions); with ``weight`` (K,) the weighted mean."""
    each, annotated = voxel_cross_entropy(logits, label), label != IGNORE
    if weight is None:
        return each.sum() / annotated.sum().clamp(min=1)
    weight = weight.to(each)
    if overlapping(logits, label):
        counts = annotated * weight.view(-1, *(1 for _ in range(label.ndim - 2)))
    else:
        counts = annotated * weight[label.where(annotated, 0)]
    total = counts.sum()
    return (each * counts).sum() / total.where(total > 0, 1)


def voxel_cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    """−log p of the truth at each voxel (and region), of the label's shape; 0 where ignored."""
    if not overlapping(logits, label):
        return F.cross_entropy(precise(logits), label, ignore_index=IGNORE, reduction="none")
    truth = (label == 1).to(precise(logits))
    return F.binary_cross_entropy_with_logits(precise(logits), truth, reduction="none") * (label != IGNORE)


def dice_ce(logits: Tensor, label: Tensor, class_weights: Tensor | None = None, *, squared: bool = False) -> Tensor:
    """½ (Dice + cross-entropy).

    Args:
        class_weights: (K,), for the cross-entropy; Dice weighs all classes and regions alike as it is.
        squared: as in `dice`.
    """
    return (dice(logits, label, squared=squared) + cross_entropy(logits, label, class_weights)) / 2


def weights_of(given: Sequence[float] | None, classes: int) -> Tensor | None:
    """A setting of class weights as (K,) for `cross_entropy`; None weighs all alike.

    Raises:
        ValueError: there are more or fewer than classes, or all are 0.
    """
    if given is None:
        return None
    if len(given) != classes or not any(given):
        raise ValueError(f"class_weights wants {classes} numbers, not all 0, one for each class or region; got {given}")
    return torch.tensor(given, dtype=torch.float32)


def overlapping(logits: Tensor, label: Tensor) -> bool:
    """Whether a label is one of overlapping regions; exclusive classes need no axis of their own."""
    expected = logits.shape if label.ndim == logits.ndim else (len(logits), *logits.shape[2:])
    assert label.shape == expected, f"logits {tuple(logits.shape)}, label {tuple(label.shape)}"
    return label.ndim == logits.ndim


def precise(x: Tensor) -> Tensor:
    """x in float32, or float64 where it already is."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
