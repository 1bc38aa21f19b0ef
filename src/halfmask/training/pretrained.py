"""Weights to start from: a run, a file from elsewhere, or a name in the hub."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.serialization import safe_globals

from halfmask.config import nearest
from halfmask.learning.method import Method, Pretrainer, Segmenter
from halfmask.networks.backbone import Backbone
from halfmask.networks.factory import kind_of, name_of
from halfmask.networks.keys import weights_in
from halfmask.networks.keys.source import Weights
from halfmask.progress import say
from halfmask.training.checkpoint import reason, unpickled
from halfmask.training.run import BEST, LAST, load_method, read_contents
from halfmask.training.transfer import networks_of, transfer_all

HUB = {
    "resnet18": "https://download.pytorch.org/models/resnet18-f37072fd.pth",
    "resnet34": "https://download.pytorch.org/models/resnet34-b627a593.pth",
    "resnet50": "https://download.pytorch.org/models/resnet50-0676ba61.pth",
    "vit_b16": "https://download.pytorch.org/models/vit_b_16-c867db91.pth",
    "vit_ti16": "https://dl.fbaipublicfiles.com/deit/deit_tiny_patch16_224-a1311bcf.pth",
    "swin_tiny": "https://github.com/SwinTransformer/storage/releases/download/v1.0.0/swin_tiny_patch4_window7_224.pth",
    "swin_unetr": "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/model_swinvit.pt",
}
"""ImageNet's ResNets and ViT-B/16 (torchvision), DeiT-Ti/16 (Meta) and Swin-T (Microsoft); Swin UNETR's encoder after
5,050 CT without labels. ResNet-50 is torchvision's first, trained as the paper's."""
_HUB_NAMES = ", ".join(f"hub:{name}" for name in HUB)

_NUMBERS = [np.dtype(kind) for kind in ("float16", "float32", "float64", "int32", "int64", "bool")]
_SCALAR = np.float64().__reduce__()[0]
_HARMLESS: list[Any] = [
    *((_SCALAR, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),  # as NumPy 1 and 2 call it
    np.dtype,
    *map(type, _NUMBERS),
]
"""What numbers in nnU-Net's and MONAI's checkpoints are made with: single values, no code."""


def named(init: Path) -> str:
    """What a run notes of where its first weights are from: ``hub:NAME``, or the whole path.

    Raises:
        ValueError: the hub has no such name.
    """
    text = str(init)
    if not text.startswith("hub:"):
        return str(init.resolve())
    if text.removeprefix("hub:") not in HUB:
        raise ValueError(f"no weights are called {text!r}; {nearest(text, [f'hub:{name}' for name in HUB])}")
    return text


def initialize(method: Method, init: str, settings: Mapping[str, Any]) -> None:
    """Start a method's networks from weights, and say what went over; see `transfer_all`.

    Args:
        init: what `read` takes.
        settings: of the network.

    Raises:
        ValueError: the weights cannot be read, or are of another network.
    """
    found = read(init)
    told = transfer_all(found, method, where=init)
    say(f"{init} holds the weights of {' and '.join(weights.title for weights in found)}")
    for name, report in told.items():
        say(f"{name}: {report}")
    solid = any(network.dims == 3 for network in method.modules() if isinstance(network, Backbone))
    lacks = {key: value for w in found for key, value in w.needs.items() if settings.get(key) != value}
    if lacks and solid:
        given = " ".join(f"--set network.{key}={value}" for key, value in lacks.items())
        say(f"these weights were trained with another network than this one; give {given}")


def read(init: str) -> list[Weights]:
    """The weights in a run's folder, in one of its checkpoints, in a file from elsewhere, or of ``hub:NAME``.

    Mostly of one network; a pre-training may keep several, of different kinds. Of its folder those count that were
    best on images it held out, if it held out some.

    Raises:
        ValueError: there are none, or the best are gone, or no network here takes such.
    """
    if init.startswith("hub:"):
        return [weights_in(_fetched(init), where=init)]
    path = Path(init)
    if path.is_dir():
        return _of_run(path)
    if not path.is_file():
        raise ValueError(f"there is no run, file or hub name {init!r}; give a run's folder, a file, or {_HUB_NAMES}")
    content = _opened(path)
    if _is_of_run(content):
        return _of_run(path.parent, path.name)
    return [weights_in(content, where=init)]


def run_behind(init: str) -> Mapping[str, Any] | None:
    """What the checkpoint of the run that ``init`` names says; None for weights from elsewhere, and if there are none.

    Raises:
        ValueError: it cannot be read.
    """
    path = Path(init)
    if init.startswith("hub:") or not path.exists():
        return None
    if path.is_dir():
        return read_contents(path / LAST)
    content = _opened(path)
    return read_contents(path) if _is_of_run(content) else None


def _is_of_run(content: Mapping[str, Any]) -> bool:
    return "run" in content and "format" in content


def _of_run(folder: Path, which: str | None = None) -> list[Weights]:
    """The weights of the network that predicts, or of those that a pre-training keeps."""
    _, _, method, content = load_method(folder, which or LAST)
    if which is None and isinstance(method, Pretrainer) and content["best"] is not None:
        if not (folder / BEST).exists():
            remedy = f"bring it back, or give --init {folder / LAST} for those of the last step"
            raise ValueError(f"{folder / BEST} is gone, the weights that were best on held-out images; {remedy}")
        content = read_contents(folder / BEST)
    states = networks_of(content["state"])
    if isinstance(method, Pretrainer):
        return [_kept(method, name, parts, states[name]) for name, parts in method.keeps.items()]
    predictor = method.predictor if isinstance(method, Segmenter) else method.get_submodule("student")
    name, network = next((n, child) for n, child in method.named_children() if child is predictor)
    assert isinstance(network, Backbone)
    return [Weights(f"a {name_of(network)}", kind_of(network), states[name])]


def _kept(method: Pretrainer, name: str, parts: tuple[str, ...], state: Mapping[str, Tensor]) -> Weights:
    """Of one network those parts that have learned."""
    network = getattr(method, name)
    title = f"a {name_of(network)}'s {' and '.join(parts)}"
    learned = {key: value for key, value in state.items() if key.partition(".")[0] in parts}
    return Weights(title, kind_of(network), learned)


def _opened(file: Path) -> Mapping[str, Any]:
    """What a file of weights holds; no code in it is run."""
    load, why = (load_file, _told) if _is_safetensors(file) else (_load_pickle, reason)
    try:
        content = load(file)
    except Exception as e:  # a broken zip, a pickle with code in it, …
        remedy = "give a whole file that holds a state dict alone, as torch.save writes it"
        raise ValueError(f"{file} cannot be read as weights: {why(file, e)}; {remedy}") from e
    if not isinstance(content, Mapping):
        raise ValueError(f"{file} holds a {type(content).__name__}, not the weights of a network by name")
    return content


def _load_pickle(file: Path) -> Any:
    with safe_globals(_HARMLESS):
        return unpickled(file)


def _is_safetensors(file: Path) -> bool:
    """By its name, or, as files in the hub's cache have none that tells, by the header after its length in 8 bytes."""
    if file.suffix == ".safetensors":
        return True
    with file.open("rb") as f:
        return f.read(9)[8:] == b"{"


def _told(file: Path, error: Exception) -> str:
    return str(error) if file.stat().st_size else "it is empty"


def _fetched(init: str) -> Mapping[str, Any]:
    """What the hub has under this name, from torch's cache or over the network; checksums in names are compared."""
    url = HUB[init.removeprefix("hub:")]
    try:
        with contextlib.redirect_stdout(sys.stderr), safe_globals(_HARMLESS):
            return torch.hub.load_state_dict_from_url(
                url, map_location="cpu", progress=sys.stderr.isatty(), check_hash=True, weights_only=True
            )
    except Exception as e:  # no network, another checksum, a broken file
        file = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
        if file.is_file():
            raise ValueError(f"{init}: {file} cannot be read: {reason(file, e)}; remove it, and try again") from e
        raise ValueError(
            f"{init} cannot be fetched: {e}; download {url} where there is a network, and give --init {file.name}"
        ) from e
