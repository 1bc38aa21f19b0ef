"""Networks by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import torch

from halfmask.config import nearest, read_settings
from halfmask.networks.resnet_unet import ResNetUNet
from halfmask.networks.segmenter import SegmentationNetwork
from halfmask.networks.swin_unet import SwinUNet
from halfmask.networks.swin_unetr import SwinUNETR
from halfmask.networks.unet import UNet
from halfmask.networks.unetr import UNETR
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

TRANSFORMERS = ("swin_unet", "swin_unetr", "unetr")
"""Those whose encoder attends; the others' convolve."""


def names() -> list[str]:
    return sorted(_NETWORKS)


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
    made, _ = _NETWORKS[name]
    return made(channels, classes, dims, patch, pooling, kernels, **given)


def network_settings(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a network, checked and converted from text, with those that its name implies.

    Raises:
        ValueError: for an unknown name or setting, with the nearest known.
    """
    if name not in _NETWORKS:
        raise ValueError(f"no network is called {name!r}; {nearest(name, names())}")
    made, defaults = _NETWORKS[name]
    return read_settings(made, {**defaults, **given}, of=f"network {name!r}")


def name_of(network: SegmentationNetwork) -> str:
    """The name under which such a network is made."""
    if isinstance(network, UNet):
        return "residual_unet" if network.residual else "unet"
    return next(name for name, (made, _) in _NETWORKS.items() if made is type(network))


@dataclass(frozen=True)
class Builder:
    """Makes networks that fit the plan; what a method is given as ``network``.

    ``network()`` is one of the plan's architecture; ``network("vnet")`` is another one for the same data,
    with its own default settings. Keywords change one network: ``network(classes=5)``,
    ``network(dropout=0.5)``. A plan of which no network can be made is refused here, before any data is read.

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
            self()

    def __call__(self, name: str | None = None, **changes: Any) -> SegmentationNetwork:
        name = name or self.name
        geometry = ("channels", "classes", "dims", "patch", "pooling", "kernels")
        plan = {key: getattr(self, key) for key in geometry}
        settings = self.settings if name == self.name else {}
        return make(name, **{**plan, **settings, **changes})

    def encoder(self, name: str | None = None, **changes: Any) -> SegmentationNetwork:
        """A network without its decoder, see `SegmentationNetwork.without_decoder`."""
        return self(name, **changes).without_decoder()
