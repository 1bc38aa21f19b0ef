"""What every network that encodes offers: features by level, and one vector an image."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import ceil, prod

from torch import Tensor, nn

from halfmask.networks.levels import Levels, Shape, by


class Backbone(nn.Module):
    """Images (B, C, *spatial) to features by level; enough to pre-train and to classify.

    A subclass sets ``encoder`` (images to features, finest first, the deepest last).

    Attributes:
        name: the factory's, under which it was made.
        channels, dims, patch: C, 2 or 3, and the shape of training images.
        widths: of the encoder's features at each level, finest first.
        strides: of each level relative to the image.

    Args:
        patch: refused if the network cannot take it.
        pooling: the stride of each level relative to the one above it, and of level 0 relative to the image.
        norm: "instance" and "batch" refuse images that leave them one value to average at the bottleneck.
    """

    name: str
    encoder: nn.Module

    def __init__(
        self,
        channels: int,
        dims: int,
        patch: Sequence[int],
        *,
        widths: Shape,
        pooling: Levels,
        norm: str | None = None,
    ):
        super().__init__()
        self.channels, self.dims, self.norm = channels, dims, norm
        self.patch, self.widths = tuple(patch), widths
        self.strides: Levels = tuple(accumulate(pooling, lambda a, b: tuple(m * n for m, n in zip(a, b, strict=True))))
        self.check((2, channels, *patch))

    def encode(self, x: Tensor) -> list[Tensor]:
        """Features of each level (B, widths[k], *spatial / strides[k]), finest first."""
        self.check(x.shape)
        return self.encoder(x)

    def embed(self, x: Tensor) -> Tensor:
        """One vector an image (B, widths[-1]): the means of the bottleneck's features."""
        return self.encode(x)[-1].flatten(2).mean(2)

    def takes(self, spatial: Sequence[int]) -> bool:
        """Whether images of this shape fit."""
        try:
            self.check((2, self.channels, *spatial))
        except ValueError:
            return False
        return True

    def check(self, shape: Sequence[int]) -> None:
        """Raise ValueError unless images of this shape (B, C, *spatial) fit, saying which would."""
        if len(shape) != 2 + self.dims or shape[1] != self.channels:
            axes = "H, W" if self.dims == 2 else "D, H, W"
            raise ValueError(f"the network takes images of shape (B, {self.channels}, {axes}), not {tuple(shape)}")
        spatial, total = shape[2:], self.strides[-1]
        if any(side % stride for side, stride in zip(spatial, total, strict=True)):
            unit = total[0] if len(set(total)) == 1 else by(total)
            fit = [ceil(side / stride) * stride for side, stride in zip(spatial, total, strict=True)]
            raise ValueError(
                f"the network divides {by(spatial)} by {by(total)}, "
                f"so each side must be a multiple of {unit}: pad or crop to {by(fit)}"
            )
        voxels = prod(spatial) // prod(total)
        values = {"instance": voxels, "batch": voxels * shape[0] if self.training else 2}
        if self.norm in values and values[self.norm] < 2:
            more = "" if self.norm == "instance" else ", two images a batch"
            raise ValueError(
                f"the network divides {by(spatial)} by {by(total)}, which leaves one voxel at the bottleneck "
                f"and {self.norm} norm nothing to average: take larger images{more} or fewer levels"
            )
