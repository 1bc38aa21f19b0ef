"""K-means of directions, on the device that they lie on."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

ITERATIONS = 50
"""At most; it ends where no vector changes its cluster."""


@torch.no_grad()
def kmeans(vectors: Tensor, clusters: int) -> Tensor:
    """Centers (K, F) of length 1 with the largest mean cosine to the nearest of them; spherical k-means.

    Dhillon & Modha, Machine Learning 2001, doi:10.1023/A:1007612920971: a center is the direction of the sum of its
    vectors. Lloyd's iterations on all of them at once, from centers drawn by `spread`. A cluster that is left empty
    begins anew at the vector farthest from its center. Deterministic on a CPU, given torch's random numbers.

    Args:
        vectors: (N, F) of length 1, float32; N ≥ K.
    """
    assert len(vectors) >= clusters, f"{len(vectors)} vectors make no {clusters} clusters"
    centers, before = spread(vectors, clusters), None
    for _ in range(ITERATIONS):
        nearest, which = (vectors @ centers.T).max(1)
        if before is not None and which.equal(before):
            break
        before = which
        member = F.one_hot(which, clusters).to(vectors)
        centers = F.normalize(member.T @ vectors, dim=1)
        empty = (member.sum(0) == 0).nonzero()[:, 0]
        centers[empty] = vectors[nearest.argsort()[: len(empty)]]
    return centers


def spread(vectors: Tensor, clusters: int) -> Tensor:
    """K of the vectors, each next drawn by its squared distance from the nearest so far: k-means++.

    Arthur & Vassilvitskii, SODA 2007. Drawn on the CPU, so that all devices of a training draw the same.
    """
    chosen = [vectors[int(torch.randint(len(vectors), ()))]]
    distance = torch.full_like(vectors[:, 0], torch.inf)
    for _ in range(clusters - 1):
        distance = distance.minimum((vectors - chosen[-1]).square().sum(1))
        up_to = distance.double().cumsum(0)
        at = torch.rand((), dtype=torch.float64).to(up_to) * up_to[-1]
        chosen.append(vectors[int(torch.searchsorted(up_to, at).clamp(max=len(vectors) - 1))])
    return torch.stack(chosen)
