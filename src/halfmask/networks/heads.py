"""Heads of pre-training: what is put on an encoder to learn from, and thrown away afterwards."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from halfmask.networks.blocks import CONV
from halfmask.networks.levels import Shape


def perceptron(inputs: int, hidden: int, outputs: int, *, layers: int = 2) -> nn.Sequential:
    """From vectors (B, inputs) to (B, outputs) by ``layers`` linear layers with ReLU between.

    Without norm layers, so that small batches do.
    """
    widths = [inputs, *(hidden,) * (layers - 1), outputs]
    found: list[nn.Module] = []
    for a, b in pairwise(widths):
        found += [nn.Linear(a, b), nn.ReLU(inplace=True)]
    return nn.Sequential(*found[:-1])


def standardized(x: Tensor) -> Tensor:
    """Vectors (B, F) with mean 0 and variance 1 of each feature over the batch, float32.

    Of images' embeddings, most is what all have in common. A head that starts from them says nearly the same of all,
    and an objective that clusters them stays there.
    """
    return F.batch_norm(x.float(), None, None, training=True)


class PrototypeHead(nn.Module):
    """From vectors (B, inputs) to their cosines with each of K learned prototypes (B, K), float32.

    DINO's (Caron et al., ICCV 2021, arXiv:2104.14294, App. C): three linear layers with GELU between, down to
    ``bottleneck`` features of length 1. Prototypes have length 1 too (their ``norm_last_layer``), without which
    training may diverge. Vectors are standardized first, see `standardized`.

    Args:
        hidden: features between the layers.
        prototypes: K.
    """

    def __init__(self, inputs: int, hidden: int, bottleneck: int, prototypes: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(inputs, hidden),
            nn.GELU(),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Linear(hidden, bottleneck),
        )
        self.prototypes = nn.Parameter(torch.randn(prototypes, bottleneck))
        for layer in self.layers:  # as the paper's: biases would make all images' outputs more alike at first
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, *, frozen: bool = False) -> Tensor:
        """``frozen`` leaves the prototypes without a gradient."""
        prototypes = self.prototypes.detach() if frozen else self.prototypes
        z = self.layers(standardized(x)).float()
        with torch.autocast(x.device.type, enabled=False):  # a low temperature would magnify bfloat16's rounding
            return F.linear(F.normalize(z, dim=1), F.normalize(prototypes, dim=1))


def region_head(dims: int, inputs: int, outputs: int, size: Shape) -> nn.Sequential:
    """From maps (B, inputs, *spatial) to one vector for each region of ``size`` voxels: (B, outputs, *spatial // size).

    Two 1×1 convolutions, then a linear map of all voxels of a region, as in Chaitanya et al., NeurIPS 2020,
    arXiv:2006.10511; without its batch norm. Regions lie side by side from the first voxel on.
    """
    conv = CONV[dims]
    voxels = [conv(inputs, inputs, 1), nn.ReLU(inplace=True), conv(inputs, inputs, 1)]
    return nn.Sequential(*voxels, conv(inputs, outputs, size, stride=size, bias=False))
