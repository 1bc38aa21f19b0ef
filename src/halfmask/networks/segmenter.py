"""What every segmentation network offers: features by level, maps by level, logits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from math import ceil, prod
from typing import Self

import torch
from torch import Tensor, nn

from halfmask.networks.blocks import CONV
from halfmask.networks.levels import Levels, Shape, by


class SegmentationNetwork(nn.Module):
    """Images (B, C, *spatial) to logits (B, K, *spatial), openable level by level.

    A subclass sets ``encoder`` (images to features, finest first, the bottleneck last) and ``decoder``
    (features to maps, finest first; the last map is the bottleneck feature itself), and ``head`` where a
    1×1 convolution does not do: where level 0 is coarser than the image, the head brings it to the image's size.

    Attributes:
        channels, classes, dims, patch: C, K, 2 or 3, and the shape of training images.
        widths: of the encoder's features at each level, finest first.
        map_widths: of the decoder's maps at each level, mostly the same.
        strides: of each level relative to the image; not all ones at level 0 where the head enlarges.

    Args:
        patch: refused if the network cannot take it.
        pooling: the stride of each level relative to the one above it, and of level 0 relative to the image.
        map_widths: ``widths`` if None.
        norm: "instance" and "batch" refuse images that leave them one value to average at the bottleneck.
    """

    encoder: nn.Module
    decoder: nn.Module
    head: nn.Module

    def __init__(
        self,
        channels: int,
        classes: int,
        dims: int,
        patch: Sequence[int],
        *,
        widths: Shape,
        pooling: Levels,
        map_widths: Shape | None = None,
        norm: str | None = None,
    ):
        super().__init__()
        self.channels, self.classes, self.dims, self.norm = channels, classes, dims, norm
        self.patch, self.widths, self.map_widths = tuple(patch), widths, map_widths or widths
        self.strides: Levels = tuple(accumulate(pooling, lambda a, b: tuple(m * n for m, n in zip(a, b, strict=True))))
        self.check((2, channels, *patch))
        self.head = CONV[dims](self.map_widths[0], classes, 1)

    def encode(self, x: Tensor) -> list[Tensor]:
        """Features of each level (B, widths[k], *spatial / strides[k]), finest first."""
        self.check(x.shape)
        return self.encoder(x)

    def decode(self, features: list[Tensor]) -> list[Tensor]:
        """Maps of each level (B, map_widths[k], *spatial / strides[k]), finest first; logits are ``head(maps[0])``."""
        return self.decoder(features)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.decode(self.encode(x))[0])

    def embed(self, x: Tensor) -> Tensor:
        """One vector an image (B, widths[-1]): the means of the bottleneck's features."""
        return self.encode(x)[-1].flatten(2).mean(2)

    def without_decoder(self) -> Self:
        """This network with its encoder alone, whose weights keep their names: it encodes and embeds."""
        self.decoder, self.head = nn.Identity(), nn.Identity()
        return self

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


class Encoder(nn.Module):
    """Levels one after another; each begins with its own down-sampling."""

    def __init__(self, levels: Iterable[nn.Module], stem: nn.Module | None = None):
        super().__init__()
        self.stem = nn.Identity() if stem is None else stem
        self.levels = nn.ModuleList(levels)

    def forward(self, x: Tensor) -> list[Tensor]:
        x, features = self.stem(x), []
        for level in self.levels:
            x = level(x)
            features.append(x)
        return features


class Decoder(nn.Module):
    """Levels from the bottleneck up: map k is ``levels[k](map k + 1, feature k)``.

    ``levels`` is finest first, as features and maps are, and has no entry for the bottleneck. A method may
    run the loop itself, e.g. to perturb what each level is given.
    """

    def __init__(self, levels: Iterable[nn.Module]):
        super().__init__()
        self.levels = nn.ModuleList(levels)

    def forward(self, features: list[Tensor], finest: int = 0) -> list[Tensor]:
        """Maps of each level from ``finest`` on."""
        maps = [features[-1]]
        for k in reversed(range(finest, len(self.levels))):
            maps.insert(0, self.levels[k](maps[0], features[k]))
        return maps


class UpConcatenate(nn.Module):
    """A U-Net's decoder level: the map below, up-sampled, beside the skip, then convolutions."""

    def __init__(self, up: nn.Module, convs: nn.Module):
        super().__init__()
        self.up, self.convs = up, convs

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        return self.convs(torch.cat([self.up(below), skip], 1))


class UpAdd(nn.Module):
    """A V-Net's decoder level: the map below, up-sampled, added to the skip, then convolutions."""

    def __init__(self, up: nn.Module, convs: nn.Module):
        super().__init__()
        self.up, self.convs = up, convs

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        return self.convs(self.up(below) + skip)
