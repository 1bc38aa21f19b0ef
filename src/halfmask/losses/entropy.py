"""How undecided a prediction is."""

from __future__ import annotations

import math

from torch import Tensor
from torch.special import entr

from halfmask.losses.segmentation import precise

LEAST = 1e-8
"""Probabilities below count as this, so that the gradient, −log p − 1, stays finite."""


def class_entropy(probability: Tensor) -> Tensor:
    """−Σ_k p_k log p_k / log K at each voxel, (B, *spatial) in [0, 1], of classes (B, K, *spatial) that sum to 1."""
    return entr(precise(probability).clamp(min=LEAST)).sum(1) / math.log(probability.shape[1])


def region_entropy(probability: Tensor) -> Tensor:
    """−(p log p + (1 − p) log (1 − p)) / log 2 of each region by itself, (B, K, *spatial) in [0, 1]."""
    p = precise(probability)
    return (entr(p.clamp(min=LEAST)) + entr((1 - p).clamp(min=LEAST))) / math.log(2)
