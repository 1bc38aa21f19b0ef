"""Contrast by groups: what belongs together is to be more alike than what does not."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from halfmask.losses.segmentation import precise

LEAST = -1e9
"""A similarity that counts for nothing, and whose gradient is 0, not undefined."""


def group_contrast(vectors: Tensor, together: Tensor, apart: Tensor, temperature: float) -> Tensor:
    """−log e^s(a,b)/τ / (e^s(a,b)/τ + Σ_n e^s(a,n)/τ), the mean over the pairs a, b that belong together.

    Of vectors (…, N, F), by cosine s. Chaitanya et al., NeurIPS 2020, arXiv:2006.10511, Eqs. 1 and 2: n runs over what
    is to be apart from a alone, so that what belongs with a is not pushed away from it by its other partners. A vector
    that nothing is to be apart from teaches nothing; where that is true of all, the loss is 0, with a gradient.

    Args:
        together, apart: (N, N), bool; what is neither does not count. A vector does not count with itself.
    """
    unit = F.normalize(precise(vectors), dim=-1)
    with torch.autocast(unit.device.type, enabled=False):
        s = unit @ unit.mT / temperature
    itself = torch.eye(len(together), dtype=torch.bool, device=together.device)
    against = s.masked_fill(~apart | itself, LEAST).logsumexp(-1, keepdim=True)
    pairs = together & ~itself & (apart & ~itself).any(-1, keepdim=True)
    return (F.softplus(against - s) * pairs).sum() / (pairs.sum() * s.shape[:-2].numel()).clamp(min=1)
