"""Segmentation losses against soft targets: probabilities instead of labels.

logits and target are (B, K, *spatial); of classes that exclude each other, the background first, or of regions that
may overlap. ``known``, where something of a target is not, is (B, 1, *spatial) for classes, or (B, K, *spatial) for
regions. Targets pass no gradient. Where the target is one-hot these are the losses of `losses.segmentation`; where
nothing is known they are 0, with a gradient that is 0.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from halfmask.losses.segmentation import precise


def soft_dice(
    logits: Tensor, target: Tensor, known: Tensor | None = None, *, exclusive: bool = True, smooth: float = 1e-5
) -> Tensor:
    """Mean over foreground classes, or regions, of 1 − (2 Σ min(p, y) + s) / (Σ p + Σ y + s).

    The first Dice semimetric loss (Wang et al., MICCAI 2023, arXiv:2303.16296): Σ p + Σ y − Σ |p − y| is 2 Σ min(p, y),
    which is 2 Σ p y for labels, but is greatest where p is y. Σ p y of a voxel of ½ is greatest where p is 1.
    """
    probability = precise(logits).softmax(1) if exclusive else precise(logits).sigmoid()
    truth = precise(target).detach()
    if known is not None:
        probability, truth = probability * known, truth * known
    axes = [0, *range(2, logits.ndim)]
    both, either = torch.minimum(probability, truth).sum(axes), (probability + truth).sum(axes)
    return 1 - ((2 * both + smooth) / (either + smooth))[1 if exclusive else 0 :].mean()


def soft_cross_entropy(
    logits: Tensor, target: Tensor, known: Tensor | None = None, *, exclusive: bool = True
) -> Tensor:
    """Mean over the known voxels (and regions) of −Σ_k y_k log p_k, or −y log p − (1 − y) log (1 − p)."""
    x, truth = precise(logits), precise(target).detach()
    if exclusive:
        each = -(truth * x.log_softmax(1)).sum(1, keepdim=True)
    else:
        each = F.binary_cross_entropy_with_logits(x, truth, reduction="none")
    if known is None:
        return each.mean()
    return (each * known).sum() / known.sum().clamp(min=1)


def soft_dice_ce(logits: Tensor, target: Tensor, known: Tensor | None = None, *, exclusive: bool = True) -> Tensor:
    """½ (Dice + cross-entropy)."""
    dice = soft_dice(logits, target, known, exclusive=exclusive)
    return (dice + soft_cross_entropy(logits, target, known, exclusive=exclusive)) / 2
