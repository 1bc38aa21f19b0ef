"""Networks by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import torch

from halfmask.config import nearest, read_settings
from halfmask.networks.backbone import Backbone
from halfmask.networks.resnet import ResNet
from halfmask.networks.resnet_unet import ResNetUNet
from halfmask.networks.segmenter import SegmentationNetwork
from halfmask.networks.swin_unet import SwinUNet
from halfmask.networks.swin_unetr import SwinUNETR
from halfmask.networks.unet import UNet
from halfmask.networks.unetr import UNETR
from halfmask.networks.vit import ViT
from halfmask.networks.vnet import VNet

_NETWORKS: dict[str, tuple[Callable[..., SegmentationNetwork], dict[str, Any]]] = {
    "unet": (UNet, {}),
    "residual_unet": (UNet, {"residual": True}),
    "vnet": (VNet, {}),
    "resnet_unet": (ResNetUNet, {}),
    "swin_unet": (SwinUNet, {}),
    "swin_unetr": (SwinUNETR, {}),
    "unetr": (UNETR, {}),
}
"""Each name's class, and the defaults that the name changes."""

_ENCODERS: dict[str, tuple[Callable[..., Backbone], dict[str, Any]]] = {
    "resnet18": (ResNet, {}),
    "resnet50": (ResNet, {"blocks": (3, 4, 6, 3), "bottleneck": True}),
    "vit_ti16": (ViT, {"hidden_size": 192}),
    "vit_b16": (ViT, {}),
}
"""The same of those without a decoder."""

TRANSFORMERS = ("swin_unet", "swin_unetr", "unetr", "vit_b16", "vit_ti16")
"""Those whose encoder attends; the others' convolve."""

_SEGMENTS = {"resnet18": "resnet_unet", "resnet50": "resnet_unet", "vit_ti16": "unetr", "vit_b16": "unetr"}
"""What to take to segment instead of a network that has no decoder."""

_TAKERS = {
    "resnet_unet": "resnet_unet or resnet18",
    "resnet50": "resnet50 (or resnet_unet --set network.bottleneck=true)",
    "vit_b16": "vit_b16 or vit_ti16",
}
"""The networks of a kind, where it is not just the one of its name."""


def names() -> list[str]:
    """Those that segment."""
    return sorted(_NETWORKS)


def encoder_names() -> list[str]:
    """All that encode: those that segment, and those without a decoder."""
    return sorted({**_NETWORKS, **_ENCODERS})


def make(
    name: str,
    *,
    channels: int,
    classes: int,
    dims: int,
    patch: Sequence[int],
    pooling: Sequence[Sequence[int]] | None = None,
    kernels: Sequence[Sequence[int]] | None = None,
    **settings: Any,
) -> SegmentationNetwork:
    """A new network with random weights.

    Args:
        patch: the shape of training images.
        pooling: the stride of each level relative to the one above it, ones at level 0; if None, all axes are
            halved together as often as the patch allows. Networks whose depth is fixed leave it and the kernels out.
        kernels: the kernel size of each level; if None, 3, but 1 along axes that are halved later.
        settings: the keywords of the network's class; text is converted.

    Raises:
        ValueError: for an unknown name or setting, and for a patch that does not fit, with what would.
    """
    given = network_settings(name, settings)
    if name in _ENCODERS:
        told = f"network {name!r} has no decoder: it classifies and pre-trains"
        raise ValueError(f"{told}; to segment take {_SEGMENTS[name]}")
    network = _NETWORKS[name][0](channels, classes, dims, patch, pooling, kernels, **given)
    network.name = name
    return network


def make_encoder(name: str, *, channels: int, dims: int, patch: Sequence[int], **others: Any) -> Backbone:
    """A new network that encodes, without a decoder, see `SegmentationNetwork.without_decoder`.

    Args:
        others: as `make` takes them; what belongs to a decoder is left out.

    Raises:
        ValueError: as `make`.
    """
    if name not in _ENCODERS:
        return make(name, **{"classes": 1, **others}, channels=channels, dims=dims, patch=patch).without_decoder()
    settings = {key: value for key, value in others.items() if key not in ("classes", "pooling", "kernels")}
    network = _ENCODERS[name][0](channels, dims, patch, **network_settings(name, settings))
    network.name = name
    return network


def network_settings(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a network, checked and converted from text, with those that its name implies.

    Raises:
        ValueError: for an unknown name or setting, with the nearest known.
    """
    if name not in encoder_names():
        raise ValueError(f"no network is called {name!r}; {nearest(name, encoder_names())}")
    made, defaults = {**_NETWORKS, **_ENCODERS}[name]
    return read_settings(made, {**defaults, **given}, of=f"network {name!r}")


def name_of(network: Backbone) -> str:
    """The name under which such a network is made."""
    return network.name


def kind_of(network: Backbone) -> str:
    """The name of a network whose encoder has the same parts, so that its weights mean the same in this one."""
    if isinstance(network, ResNet | ResNetUNet):
        return "resnet50" if network.bottleneck else "resnet_unet"
    return "vit_b16" if isinstance(network, ViT) else network.name


def takers(kind: str) -> str:
    """The networks of a kind, as they are told to the command line's ``--network``."""
    return _TAKERS.get(kind, kind)


@dataclass(frozen=True)
class Builder:
    """Makes networks that fit the plan; what a method is given as ``network``.

    ``network()`` is one of the plan's architecture; ``network("vnet")`` is another one for the same data,
    with its own default settings; ``network.encoder()`` has no decoder, which some architectures never have.
    Keywords change one network: ``network(classes=5)``, ``network(dropout=0.5)``. A plan of which no network can be
    made is refused here, before any data is read.

    Attributes:
        exclusive: whether each voxel is of one of the classes, or they are regions that may overlap.
        spacing: of training images, mm per axis; 1 if None.
        flips: axes that may be mirrored; none if None.
    """

    name: str
    _: KW_ONLY
    channels: int
    classes: int
    exclusive: bool = True
    dims: int
    patch: Sequence[int]
    pooling: Sequence[Sequence[int]] | None = None
    kernels: Sequence[Sequence[int]] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    spacing: Sequence[float] | None = None
    flips: Sequence[bool] | None = None

    def __post_init__(self) -> None:
        with torch.device("meta"):  # shapes only: no memory, no random numbers
            self.encoder() if self.name in _ENCODERS else self()

    def __call__(self, name: str | None = None, **changes: Any) -> SegmentationNetwork:
        return make(name or self.name, **self._plan(name, changes))

    def encoder(self, name: str | None = None, **changes: Any) -> Backbone:
        """A network that encodes and has no decoder, see `make_encoder`."""
        return make_encoder(name or self.name, **self._plan(name, changes))

    def _plan(self, name: str | None, changes: Mapping[str, Any]) -> dict[str, Any]:
        geometry = ("channels", "classes", "dims", "patch", "pooling", "kernels")
        settings = self.settings if name in (None, self.name) else {}
        return {**{key: getattr(self, key) for key in geometry}, **settings, **changes}
