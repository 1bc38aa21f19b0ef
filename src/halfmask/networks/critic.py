"""Critics: networks that judge masks, as a whole or voxel by voxel."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from halfmask.networks.blocks import CONV, he_normal


class Critic(nn.Module):
    """Strided convolutions and leaky ReLU down to a coarse map of scores, one for each place.

    In the manner of DCGAN (Radford et al., arXiv:1511.06434) and of Hung et al., BMVC 2018, arXiv:1802.07934, with 3
    voxels a kernel, so that any side from one voxel up will do. Without norm layers: what is said of an image does not
    depend on the others of its batch, and statistics would tell apart two halves that pass one after the other.

    Args:
        inputs: channels of what is judged.
        width: features at the first level; each further level has twice as many.
        levels: each halves the sides.
    """

    def __init__(self, inputs: int, dims: int, *, width: int = 64, levels: int = 4):
        super().__init__()
        layers: list[nn.Module] = []
        for level in range(levels):
            outputs = width * 2**level
            layers += [CONV[dims](inputs, outputs, 3, 2, 1), nn.LeakyReLU(0.2)]
            inputs = outputs
        self.layers = nn.Sequential(*layers, CONV[dims](inputs, 1, 1))
        self.mode = {2: "bilinear", 3: "trilinear"}[dims]
        self.apply(he_normal)

    def forward(self, x: Tensor) -> Tensor:
        """Scores (B,), float32, of whole masks (B, inputs, *spatial): logits, the mean over all places."""
        return self.layers(x).float().flatten(1).mean(1)

    def voxelwise(self, x: Tensor) -> Tensor:
        """Scores (B, *spatial), float32, of each voxel of masks (B, inputs, *spatial): logits, interpolated."""
        return F.interpolate(self.layers(x).float(), x.shape[2:], mode=self.mode)[:, 0]
