"""A head that makes images of an encoder's bottleneck alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from math import prod

from torch import nn

from halfmask.networks.backbone import Backbone
from halfmask.networks.blocks import CONV, conv_block
from halfmask.networks.levels import by


def reconstruction(network: Backbone, shape: Sequence[int]) -> nn.Sequential:
    """From the bottleneck's features (B, widths[-1], *shape / strides[-1]) to images (B, C, *shape).

    Tang et al., CVPR 2022, arXiv:2111.14791, where it is called that of a variational autoencoder, but nothing is
    drawn: blocks of 3³ convolution, instance norm, leaky ReLU and linear ×2 up-sampling, whose features are halved
    four times, then a 1×1 convolution. There are as many blocks as the network has strides; axes that it divides less
    are up-sampled in the first ones alone.

    Raises:
        ValueError: the bottleneck has one voxel, which leaves instance norm nothing to average.
    """
    dims, total = network.dims, network.strides[-1]
    if prod(shape) == prod(total):
        raise ValueError(
            f"the network divides {by(shape)} by {by(total)}, which leaves one voxel to reconstruct an image from: "
            "take larger images or fewer levels"
        )
    factors = list(zip_longest(*map(_factors, total), fillvalue=1))
    layers: list[nn.Module] = []
    width = network.widths[-1]
    for k, factor in enumerate(factors):
        inputs, width = width, max(width // 2, 1) if k < 4 else width
        layers += [
            conv_block(dims, inputs, width, (3,) * dims, norm="instance", bias=False),
            nn.Upsample(scale_factor=tuple(map(float, factor)), mode={2: "bilinear", 3: "trilinear"}[dims]),
        ]
    return nn.Sequential(*layers, CONV[dims](width, network.channels, 1))


def _factors(total: int) -> list[int]:
    """A stride as factors of 2 and, last, what is odd of it."""
    factors = []
    while total % 2 == 0:
        total //= 2
        factors.append(2)
    return factors + [total] * (total > 1)
