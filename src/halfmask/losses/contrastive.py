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
    similarity = z @ z.T / temperature
    similarity = similarity.masked_fill(torch.eye(len(z), dtype=torch.bool, device=z.device), -torch.inf)
    partner = torch.arange(len(z), device=z.device).roll(len(one))
    return F.cross_entropy(similarity, partner)
