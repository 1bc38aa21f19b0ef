"""What methods add to a network: second decoders, and classifiers at its coarser levels."""

from __future__ import annotations

from torch import Tensor, nn

from halfmask.networks.blocks import CONV
from halfmask.networks.segmenter import SegmentationNetwork


class Branch(nn.Module):
    """A further decoder for the features of another network's encoder, with its own head.

    Args:
        network: gives its decoder and head; its encoder is left out.
    """

    def __init__(self, network: SegmentationNetwork):
        super().__init__()
        self.decoder, self.head = network.decoder, network.head

    def forward(self, features: list[Tensor]) -> Tensor:
        """Features of each level, finest first, to outputs (B, K, *spatial)."""
        return self.head(self.decoder(features)[0])


def level_heads(network: SegmentationNetwork, levels: int | None = None) -> nn.ModuleList:
    """A 1×1 convolution from the maps of each level but the finest to logits; level 0 has the network's own head.

    Args:
        levels: how many in all, with level 0; None is all that the network has.
    """
    widths = network.map_widths[1:levels]
    return nn.ModuleList(CONV[network.dims](width, network.classes, 1) for width in widths)
