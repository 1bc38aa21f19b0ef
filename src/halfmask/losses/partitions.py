"""Losses on partitions: slices of the same part of the anatomy are to be more alike than those of other parts.

Images lie on one grid, and each axis is cut into P partitions, the same for all. Slices are those across an axis:
planes of volumes, lines of pictures. Similarity is the cosine of flattened slices.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from halfmask.losses.segmentation import precise


class Similarity(NamedTuple):
    """Cosines of slices of B images, of each of K maps.

    Attributes:
        across: (K, P, B, B), of images i and j in partition p.
        within: (K, B, P, P), of partitions p and q of image i.
    """

    across: Tensor
    within: Tensor


def slices(x: Tensor, axis: int, partitions: int) -> Tensor:
    """One slice from each partition of each image: (B, P, C, F) of x (B, C, *spatial), in their order along the axis.

    Which slice of its partition is drawn for each image. Partitions differ by a slice where P does not divide the side.

    Args:
        axis: a spatial one, from 0.

    Raises:
        ValueError: there are fewer slices than partitions.
    """
    side = x.shape[2 + axis]
    if side < partitions:
        raise ValueError(f"{side} slices along axis {axis} cannot be cut into {partitions} partitions; take fewer")
    edges = torch.arange(partitions + 1) * side // partitions
    drawn = edges[:-1] + (torch.rand(len(x), partitions) * edges.diff()).long()
    drawn = drawn.to(x.device, non_blocking=True)
    image = torch.arange(len(x), device=x.device)[:, None]
    return x.movedim(2 + axis, 1)[image, drawn].flatten(3)


def similarity(each: Tensor) -> Similarity:
    """Of slices (K, B, P, F); not between different partitions of different images, which no objective asks for."""
    unit = F.normalize(precise(each), dim=-1)
    with torch.autocast(unit.device.type, enabled=False):
        across = unit.transpose(1, 2)
        return Similarity(across @ across.mT, unit @ unit.mT)


def comparative(s: Similarity) -> Tensor:
    """log(1 + exp(s(i_p, i_q) − s(i_p, j_p))), the mean over all triplets i ≠ j, p ≠ q, summed over the K maps.

    Yıldız, "Accelerated semi-supervised medical image segmentation", 2022, Eq. 2: the Bradley–Terry model with score
    e^s. (With s itself as score, its printed Eq. 1, cosines would have to be positive.)
    """
    within, across = s.within[:, :, None], s.across.permute(0, 2, 3, 1)[..., None]  # (K, B, 1, P, P), (K, B, B, P, 1)
    each = F.softplus(within - across)
    images, parts = each.shape[1], each.shape[3]
    triplets = _others(images, each)[:, :, None, None] * _others(parts, each)
    return (each * triplets).sum() / (images * (images - 1) * parts * (parts - 1))


def sampled_comparative(s: Similarity) -> Tensor:
    """`comparative` of one triplet for each image: j, p and q are drawn."""
    _, images, parts, _ = s.within.shape
    i, p = torch.arange(images), torch.randint(parts, (images,))
    j = (i + torch.randint(1, images, (images,))) % images
    q = (p + torch.randint(1, parts, (images,))) % parts
    i, j, p, q = torch.stack([i, j, p, q]).to(s.within.device, non_blocking=True)
    return F.softplus(s.within[:, i, p, q] - s.across[:, p, i, j]).mean(1).sum()


def partition_contrast(s: Similarity) -> Tensor:
    """−log e^s(i_p, j_p) / (e^s(i_p, j_p) + Σ_{q≠p} e^s(i_p, i_q)), the mean over i ≠ j and p, summed over the K maps.

    Yıldız, 2022, Eq. 3, its contrastive rival. As there, cosines are not divided by a temperature.
    """
    _, images, parts, _ = s.within.shape
    itself = torch.eye(parts, dtype=torch.bool, device=s.within.device)
    others = s.within.masked_fill(itself, -torch.inf).logsumexp(-1)
    each = F.softplus(others[:, :, None] - s.across.permute(0, 2, 3, 1))
    return (each * _others(images, each)[:, :, None]).sum() / (images * (images - 1) * parts)


def _others(n: int, like: Tensor) -> Tensor:
    """(n, n): 1 but for 0 on the diagonal."""
    return 1 - torch.eye(n, dtype=like.dtype, device=like.device)
