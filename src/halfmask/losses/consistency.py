"""Losses that pull a prediction to another one, on images without labels."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from halfmask.data.batch import IGNORE
from halfmask.losses.segmentation import precise


def probability_mse(logits: Tensor, target: Tensor) -> Tensor:
    """Mean over voxels and classes of (softmax(logits) − target)²; no gradient to the target.

    logits and target probabilities are (B, K, *spatial). The mean over classes, as in the public code of mean
    teacher (Tarvainen & Valpola, arXiv:1703.01780), makes it 1/K of the squared distance.
    """
    assert logits.shape == target.shape, f"logits {tuple(logits.shape)}, target {tuple(target.shape)}"
    return F.mse_loss(precise(logits).softmax(1), precise(target).detach())


def pseudo_label_ce(logits: Tensor, pseudo: Tensor, keep: Tensor | None = None) -> Tensor:
    """Cross-entropy of logits (B, K, *spatial) against hard labels (B, *spatial), averaged over *all* voxels.

    Where ``keep`` (B, *spatial; bool, or weights) is False, or the label is `IGNORE`, a voxel contributes
    nothing, but still counts in the mean (Sohn et al., FixMatch, NeurIPS 2020, arXiv:2001.07685, Eq. 4):
    divided by the number kept, the few that are confident at first would have the weight of all.
    """
    each = F.cross_entropy(precise(logits), pseudo, ignore_index=IGNORE, reduction="none")
    return (each if keep is None else each * keep).mean()
