"""What depends on the device: precision, memory layout, compilation."""

from __future__ import annotations

import torch
from lightning_fabric import Fabric
from torch import Tensor

from halfmask.data.plan import Plan
from halfmask.inference.predict import Predictor
from halfmask.learning.method import Method, Segmenter
from halfmask.networks.segmenter import SegmentationNetwork

PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed"}


def make_fabric(device: str, precision: str = "32") -> Fabric:
    """Fabric for one device: "cpu", "cuda", or "auto", which is CUDA where there is one.

    Raises:
        ValueError: this computer has no such device.
    """
    torch.backends.cudnn.benchmark = True  # patches have one shape
    wanted = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    try:
        return Fabric(accelerator=wanted, devices=1, precision=PRECISIONS[precision])  # type: ignore[arg-type]
    except RuntimeError as e:
        raise ValueError(f"this computer has no device {device!r} that works; give --device auto or cpu") from e


def layout(device: torch.device, dims: int) -> torch.memory_format:
    """Channels last on CUDA, where bf16 convolutions want it; on a CPU it gains little in 3D and loses in 2D."""
    if device.type != "cuda":
        return torch.contiguous_format
    return torch.channels_last if dims == 2 else torch.channels_last_3d


def compile_networks(method: Method) -> None:
    """In place, so that names and averages stay as they are; encode and decode by themselves, as methods call them."""
    for network in method.modules():
        if isinstance(network, SegmentationNetwork):
            network.encoder.compile()
            network.decoder.compile()


def make_predictor(
    method: Segmenter, plan: Plan, fabric: Fabric, *, flips: bool = False, overlap: float = 0.5
) -> Predictor:
    """A predictor that runs a method in the precision of ``fabric``."""

    def predict(windows: Tensor) -> Tensor:
        method.eval()
        with fabric.autocast():
            return method.predict(windows)

    return Predictor(predict, plan, fabric.device, flips=flips, overlap=overlap)
