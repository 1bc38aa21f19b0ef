"""Critics: networks that judge masks, images or features, as a whole or place by place."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

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
        spectral: divide each kernel by its largest singular value, so that scores never change faster than what is
            judged (Miyato et al., ICLR 2018, arXiv:1802.05957).
    """

    def __init__(self, inputs: int, dims: int, *, width: int = 64, levels: int = 4, spectral: bool = False):
        super().__init__()
        layers: list[nn.Module] = []
        for level in range(levels):
            outputs = width * 2**level
            layers += [CONV[dims](inputs, outputs, 3, 2, 1), nn.LeakyReLU(0.2)]
            inputs = outputs
        self.layers = nn.Sequential(*layers, CONV[dims](inputs, 1, 1))
        self.mode = {2: "bilinear", 3: "trilinear"}[dims]
        self.apply(he_normal)
        if spectral:
            bounded(self)

    def forward(self, x: Tensor) -> Tensor:
        """Scores (B,), float32, of whole masks (B, inputs, *spatial): logits, the mean over all places."""
        return self._map(x).flatten(1).mean(1)

    def places(self, x: Tensor) -> Tensor:
        """Scores (B, *coarse), float32, of each place of (B, inputs, *spatial)."""
        return self._map(x)[:, 0]

    def voxelwise(self, x: Tensor) -> Tensor:
        """Scores (B, *spatial), float32, of each voxel of masks (B, inputs, *spatial): logits, interpolated."""
        return F.interpolate(self._map(x), x.shape[2:], mode=self.mode)[:, 0]

    def _map(self, x: Tensor) -> Tensor:
        return in_float32(self.layers[-1], self.layers[:-1](x))


class ScaleCritic(nn.Module):
    """A critic of features of several scales at once: each level's map joins what was made of the finer ones.

    A multi-connected critic (Kamnitsas et al., IPMI 2017, arXiv:1612.08894), whose features of all scales are brought
    to one size there, and go down to the coarsest here, which costs less.

    Args:
        widths: channels of the maps, finest first.
        width: features at each level.
        spectral: see `Critic`.
    """

    def __init__(self, widths: Sequence[int], dims: int, *, width: int = 64, spectral: bool = False):
        super().__init__()
        self.inputs = nn.ModuleList([CONV[dims](inputs, width, 1) for inputs in widths])
        first = [CONV[dims](width * (1 + (level > 0)), width, 3, padding=1) for level in range(len(widths))]
        self.levels = nn.ModuleList([nn.Sequential(conv, nn.LeakyReLU(0.2)) for conv in first])
        self.head = CONV[dims](width, 1, 1)
        self.pool: Callable[..., Tensor] = {2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}[dims]
        self.apply(he_normal)
        if spectral:
            bounded(self)

    def places(self, *maps: Tensor) -> Tensor:
        """Scores (B, *coarsest), float32, of maps (B, widths[k], *spatial_k), finest first."""
        x: Tensor | None = None
        for level, conv, features in zip(self.levels, self.inputs, maps, strict=True):
            own = F.leaky_relu(conv(features), 0.2)
            x = level(own if x is None else torch.cat([self.pool(x, list(own.shape[2:])), own], 1))
        assert x is not None
        return in_float32(self.head, x)[:, 0]


def in_float32(layer: nn.Module, x: Tensor) -> Tensor:
    """A layer computed in float32: scores that differ by less than bf16 can tell would teach a critic nothing."""
    with torch.autocast(x.device.type, enabled=False):
        return layer(x.float())


def bounded(network: nn.Module) -> None:
    """Give each convolution of a network spectral norm, in place."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            spectral_norm(module)
