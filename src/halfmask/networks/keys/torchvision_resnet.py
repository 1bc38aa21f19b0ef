"""Names of weights in torchvision's ResNets, which are MONAI's too: those of our encoder, see `ResNetUNet`."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import Tensor

from halfmask.networks.keys.source import Naming, Source, replaced


def _naming(names: Collection[str]) -> Naming:
    return lambda name: replaced(name, {r"(conv1|bn1|layer[1-4])\.": r"encoder.\1."})


RESNET = Source("a ResNet", "resnet_unet", r"layer1\.0\.conv1\.weight", _naming)


def check_blocks(state: Mapping[str, Tensor]) -> None:
    """Raise ValueError for a ResNet of other blocks: some of its weights would fit by chance."""
    if "layer1.0.conv3.weight" in state:
        raise ValueError(
            "a ResNet of 50 layers or more, whose blocks no network here has; take those of ResNet-34, "
            "or of ResNet-18 with --set network.blocks=2,2,2,2"
        )
