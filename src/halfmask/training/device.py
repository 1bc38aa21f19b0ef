"""What depends on the device: precision, memory layout, compilation."""

from __future__ import annotations

import contextlib
import datetime
import functools
import os
from collections.abc import Callable, Collection, Iterator
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment, SLURMEnvironment, TorchElasticEnvironment
from lightning_fabric.strategies import DDPStrategy
from torch import Tensor

from halfmask.data.plan import Plan
from halfmask.inference.classify import ClassPredictor
from halfmask.inference.predict import Predictor
from halfmask.inference.saliency import maps
from halfmask.inference.sliding_window import windows
from halfmask.inference.test_time import Adaptation, adapted
from halfmask.learning.method import Classifier, Clusterer, Method, Segmenter
from halfmask.networks.backbone import Backbone
from halfmask.networks.branch import Branch
from halfmask.networks.domain_norm import Side, set_domain
from halfmask.networks.levels import by
from halfmask.networks.segmenter import SegmentationNetwork
from halfmask.training.launch import Surroundings

PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed"}
JOIN = datetime.timedelta(minutes=5)
"""How long a process waits for the others to start."""


def make_fabric(device: str, precision: str = "32", here: Surroundings | None = None) -> Fabric:
    """Fabric for one device: "cpu", "cuda", or "auto", which is CUDA where there is one.

    Args:
        here: the processes to train with, each on its own device; their group exists once it is launched.

    Raises:
        ValueError: this computer has no such device, or not enough of them.
    """
    torch.backends.cudnn.benchmark = True  # patches have one shape
    options: dict[str, Any] = {"accelerator": kind_of(device), "precision": PRECISIONS[precision]}
    check_devices(device, here.local if here else 1)
    try:
        if here is None:  # whatever else was started around it
            return Fabric(devices=1, plugins=LightningEnvironment(), **options)
        # The GPUs' own backend for gradients; flags go over the CPUs and wait for no GPU.
        backend = "cpu:gloo,cuda:nccl" if kind_of(device) == "cuda" else "gloo"
        strategy = DDPStrategy(process_group_backend=backend, timeout=JOIN)
        if here.by == "srun":  # Fabric wants it said, but srun -n says nothing, and within sbatch what that was given
            os.environ["SLURM_NTASKS_PER_NODE"] = str(here.local)
        plugin = TorchElasticEnvironment() if here.by == "torchrun" else SLURMEnvironment(auto_requeue=False)
        nodes = here.size // here.local
        return Fabric(devices=here.local, num_nodes=nodes, strategy=strategy, plugins=plugin, **options)
    except RuntimeError as e:
        raise ValueError(f"device {device!r} cannot be used: {e}; give another --device, such as auto or cpu") from e


def kind_of(device: str) -> str:
    """ "cpu" or "cuda"; "auto" is CUDA where there is one."""
    return ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device


def precision_of(asked: str, device: str) -> str:
    """ "32" or "bf16"; "auto" is bf16 on CUDA where that can do it."""
    if asked != "auto":
        return asked
    return "bf16" if kind_of(device) == "cuda" and torch.cuda.is_bf16_supported() else "32"


def check_devices(device: str, count: int) -> None:
    """Raise ValueError if this computer has no GPU that was asked for, or fewer than ``count`` to train together."""
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("this computer has no CUDA device that works; give --device auto or cpu")
    if kind_of(device) == "cuda" and 0 < torch.cuda.device_count() < count:
        raise ValueError(
            f"{count} processes on this computer need a GPU each, {torch.cuda.device_count()} can be seen; "
            "lower --devices, or let each process see all GPUs of its computer"
        )


def layout(device: torch.device, dims: int) -> torch.memory_format:
    """Channels last on CUDA, where bf16 convolutions want it; on a CPU it gains little in 3D and loses in 2D."""
    if device.type != "cuda":
        return torch.contiguous_format
    return torch.channels_last if dims == 2 else torch.channels_last_3d


def compile_networks(method: Method) -> None:
    """In place, so that names and averages stay as they are; encode and decode by themselves, as methods call them."""
    if method.adversarial:  # else a compiled backward pass frees what that of the next kind of loss is to read
        torch._functorch.config.donated_buffer = False
    for network in method.modules():
        if isinstance(network, Backbone):
            network.encoder.compile()
        if isinstance(network, SegmentationNetwork | Branch):
            network.decoder.compile()


def check_precision(method: Method, device: torch.device, precision: str) -> None:
    """Refuse what PyTorch computes wrongly: bf16 gradients of 3D convolutions on a CPU, of maps two voxels deep.

    Seen with PyTorch 2.13 and oneDNN: where the first axis is 2 voxels long most of the weights' gradient is memory
    that nobody wrote, mostly finite.

    Raises:
        ValueError: a network has such maps.
    """
    if device.type != "cpu" or precision != "bf16":
        return
    for name, network in method.named_children():
        if isinstance(network, Backbone) and network.dims == 3:
            shapes = [tuple(n // s for n, s in zip(network.patch, stride, strict=True)) for stride in network.strides]
            if shallow := [shape for shape in shapes if shape[0] == 2]:
                raise ValueError(
                    f"{name} has maps of {by(shallow[0])} voxels, and on a CPU PyTorch gives broken bf16 gradients of "
                    "3D convolutions where the first axis is 2; give --precision 32, or another patch"
                )


def make_predictor(
    method: Segmenter | Clusterer,
    plan: Plan,
    fabric: Fabric,
    *,
    flips: bool = False,
    overlap: float = 0.5,
    source: Collection[str] = (),
    adaptation: Adaptation | None = None,
) -> Predictor:
    """A predictor that runs a method in the precision of ``fabric``.

    Args:
        source: see `Predictor`.
        adaptation: what of the networks goes over to each image before it is predicted.
    """

    @contextlib.contextmanager
    def meet(image: Tensor, side: Side) -> Iterator[None]:
        set_domain(method, side)
        if adaptation is None:
            yield
            return
        assert isinstance(method, Segmenter)
        size = plan.labeled + plan.unlabeled  # as many as memory took in training
        seen = functools.partial(windows, image, patch=plan.patch, overlap=overlap, batch=size)
        with adapted(method, seen, adaptation, fabric.autocast):
            yield

    clusters = method.clusters if isinstance(method, Clusterer) else None
    predict = _predict(method, fabric)
    return Predictor(predict, plan, fabric.device, flips, overlap, clusters, source, meet)


def make_class_predictor(method: Classifier, plan: Plan, fabric: Fabric, *, flips: bool = False) -> ClassPredictor:
    """The same for a method that tells whole images apart."""
    return ClassPredictor(_predict(method, fabric), plan, fabric.device, flips, functools.partial(maps, method))


def _predict(method: Segmenter | Clusterer | Classifier, fabric: Fabric) -> Callable[[Tensor], Tensor]:
    def predict(images: Tensor) -> Tensor:
        method.eval()
        with fabric.autocast():
            return method.predict(images)

    return predict
