"""Contrastive losses: views of one image are to be more alike than those of different images."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from halfmask.losses.segmentation import precise


def nt_xent(one: Tensor, other: Tensor, temperature: float) -> Tensor:
    """SimCLR's loss of two views' embeddings (B, F), both ways.

    Chen et al., ICML 2020, arXiv:2002.05709, Eq. 1: cross-entropy of which of the other 2B − 1 views is the same
    image's, by cosine similarity over ``temperature``.
    """
    z = F.normalize(torch.cat([precise(one), precise(other)]), dim=1)
    with torch.autocast(z.device.type, enabled=False):  # it would run the product in bfloat16
        similarity = z @ z.T / temperature
    similarity = similarity.masked_fill(torch.eye(len(z), dtype=torch.bool, device=z.device), -torch.inf)
    partner = torch.arange(len(z), device=z.device).roll(len(one))
    return F.cross_entropy(similarity, partner)


def subject_contrast(one: Tensor, other: Tensor, case: Tensor, temperature: float) -> Tensor:
    """SSL²'s contrast of two views' embeddings (B, F): −log(exp(s(v_i1, v_i2)/τ) / Σ_k Σ_j exp(s(v_i1, v_kj)/τ)).

    Wang et al., 2023, arXiv:2303.05026, §2.4.4, with cosine s. k runs over the images of other subjects alone: the
    positive is not below the line, so that the loss may be negative, and two crops of one subject are never each
    other's negatives. It is the mean over the images i that have such others; without any it is 0, with a gradient.

    Args:
        case: (B,), on the CPU: the number of the subject that each image is of.
    """
    negative = case[:, None] != case.repeat(2)
    rows = negative.any(1).nonzero()[:, 0]
    if not len(rows):
        return 0 * (precise(one).sum() + precise(other).sum())
    negative, rows = (t.to(one.device, non_blocking=True) for t in (negative[rows], rows))
    one, other = precise(one), precise(other)
    positive = F.cosine_similarity(one, other, dim=1)[rows] / temperature
    others = F.cosine_similarity(one[rows, None], torch.cat([one, other])[None], dim=2) / temperature
    return (others.masked_fill(~negative, -torch.inf).logsumexp(1) - positive).mean()
