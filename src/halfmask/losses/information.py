"""Mutual information between the clusters that two views are assigned to."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.special import entr

from halfmask.losses.segmentation import precise

LEAST = 1e-8
"""Probabilities below count as this, so that the gradient of the entropy stays finite."""


def information_loss(joint: Tensor, balance: float = 1.0) -> Tensor:
    """−I(ĉ, c̃), the mean over all joints (…, K, K), each of which sums to 1; from −log K to 0.

    Ji et al., ICCV 2019, arXiv:1807.06653, Eq. 3, as H(ĉ, c̃) − λ (H(ĉ) + H(c̃)).

    Args:
        balance: λ. Above 1 clusters of equal size count for more, and sure assignments for less (their code's
            ``lamb``); below −I by at most 2 (λ − 1) log K.
    """
    entropy = lambda p, axes: entr(p.clamp(min=LEAST)).sum(axes)
    own, others = (entropy(joint.sum(axis), -1) for axis in (-1, -2))
    return (entropy(joint, (-2, -1)) - balance * (own + others)).mean()


def joint(one: Tensor, other: Tensor) -> Tensor:
    """How often the two views of an image are in clusters k and l: (…, K, K), symmetric, sums to 1.

    Ji et al., Eq. 2.

    Args:
        one, other: soft assignments (…, B, K) of each image's views.
    """
    with torch.autocast(one.device.type, enabled=False):  # it would run the product in bfloat16
        return _normalized(precise(one).mT @ precise(other))


def displaced_joints(one: Tensor, other: Tensor, reach: Sequence[int], counts: Tensor | None = None) -> Tensor:
    """The joint of a voxel's cluster in one map and that of its neighbor in the other: (T, K, K), one a displacement.

    Ji et al., §3.3. T runs over all displacements t with |t_i| ≤ reach_i, in the order of `itertools.product`.

    Args:
        one, other: soft assignments (B, K, *spatial) that lie on each other.
        counts: (B, 1, *spatial), the voxels that do, on either side; all if None.
    """
    flat = []
    for p in (one, other):
        known = precise(p) if counts is None else precise(p) * counts
        # Zeros after each axis: a displacement is then one offset in the flattened map, which runs into zeros where
        # it leaves the image, so no displaced map is ever copied.
        padded = F.pad(known.movedim(1, 0), [n for d in reversed(reach) for n in (0, d)]).contiguous()
        flat.append(padded.flatten(1))
    strides, size = padded.stride()[2:], flat[0].shape[1]
    joints = []
    with torch.autocast(one.device.type, enabled=False):
        for away in product(*(range(-d, d + 1) for d in reach)):
            o = sum(a * stride for a, stride in zip(away, strides, strict=True))
            here, there = flat[0][:, max(0, -o) : size - max(0, o)], flat[1][:, max(0, o) : size - max(0, -o)]
            joints.append(here @ there.T)
    return _normalized(torch.stack(joints))


def _normalized(counts: Tensor) -> Tensor:
    symmetric = (counts + counts.mT) / 2
    return symmetric / symmetric.sum((-2, -1), keepdim=True).clamp(min=LEAST)
