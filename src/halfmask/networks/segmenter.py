"""What every segmentation network offers: features by level, maps by level, logits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from halfmask.networks.backbone import Backbone
from halfmask.networks.blocks import CONV
from halfmask.networks.levels import Levels, Shape


class SegmentationNetwork(Backbone):
    """Images (B, C, *spatial) to logits (B, K, *spatial), openable level by level.

    A subclass sets ``encoder`` (images to features, finest first, the bottleneck last) and ``decoder``
    (features to maps, finest first; the last map is the bottleneck feature itself), and ``head`` where a
    1×1 convolution does not do: where level 0 is coarser than the image, the head brings it to the image's size.

    Attributes:
        classes: K.
        map_widths: of the decoder's maps at each level, mostly the encoder's ``widths``.

    For patch, widths, pooling and norm see `Backbone`; strides of level 0 are not all ones where the head enlarges.

    Args:
        map_widths: ``widths`` if None.
    """

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
        super().__init__(channels, dims, patch, widths=widths, pooling=pooling, norm=norm)
        self.classes, self.map_widths = classes, map_widths or widths
        self.head = CONV[dims](self.map_widths[0], classes, 1)

    def decode(self, features: list[Tensor]) -> list[Tensor]:
        """Maps of each level (B, map_widths[k], *spatial / strides[k]), finest first; logits are ``head(maps[0])``."""
        return self.decoder(features)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.decode(self.encode(x))[0])

    def without_decoder(self) -> Self:
        """This network with its encoder alone, whose weights keep their names: it encodes and embeds."""
        self.decoder, self.head = nn.Identity(), nn.Identity()
        return self


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
