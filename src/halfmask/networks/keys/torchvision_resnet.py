"""Names of weights in torchvision's ResNets, which are MONAI's too: those of our encoder, see `ResNet`."""

from __future__ import annotations

from collections.abc import Collection

from halfmask.networks.keys.source import Naming, Source, replaced


def _naming(names: Collection[str]) -> Naming:
    return lambda name: replaced(name, {r"(conv1|bn1|layer[1-4])\.": r"encoder.\1."})


BOTTLENECK = Source("a ResNet of bottlenecks", "resnet50", r"layer1\.0\.conv3\.weight", _naming)
RESNET = Source("a ResNet", "resnet_unet", r"layer1\.0\.conv1\.weight", _naming)
"""Of basic blocks; of bottlenecks they would be taken for such, and some of their weights fit by chance."""
