"""Weights from elsewhere under our names: whose they are is told by the names that they have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from halfmask.networks.keys import nnunet, vit
from halfmask.networks.keys.microsoft_swin import SWIN
from halfmask.networks.keys.monai_swin import PRETRAINED, SWIN_UNETR
from halfmask.networks.keys.source import Weights
from halfmask.networks.keys.torchvision_resnet import BOTTLENECK, RESNET

SOURCES = (nnunet.PLAIN, nnunet.RESIDUAL, SWIN_UNETR, PRETRAINED, SWIN, BOTTLENECK, RESNET, vit.TORCHVISION, vit.TIMM)

_PLACES = ("network_weights", "state_dict", "model", "teacher")
"""Where nnU-Net and nnssl, MONAI and Lightning, Microsoft and torchvision, and DINO keep a network's weights."""

_WRAPPERS = re.compile(r"^(module\.|_orig_mod\.|model\.|net\.|network\.|backbone\.)+|(?<=\.)_orig_mod\.")
"""What DistributedDataParallel, torch.compile, Lightning modules and self-supervised methods put into names."""


def weights_in(content: Mapping[str, Any], *, where: str) -> Weights:
    """The weights that a checkpoint holds.

    Args:
        content: a state dict, or what holds one.
        where: the checkpoint is from, for errors.

    Raises:
        ValueError: there are none, or no network here takes such.
    """
    state = _state_dict(content, where)
    if not state:
        found = ", ".join(map(repr, list(content)[:4])) or "nothing"
        raise ValueError(f"{where} holds no weights of a network, but {found}")
    try:
        return _recognized(state, content.get("nnssl_adaptation_plan"))
    except ValueError as e:
        raise ValueError(f"{where} holds the weights of {e}") from e


def _recognized(state: Mapping[str, Tensor], plan: Mapping[str, Any] | None) -> Weights:
    """The weights under our names.

    Args:
        plan: nnssl's, which tells where the encoder is.
    """
    if plan is not None:
        root = _bare(plan.get("key_to_encoder") or "encoder.stages").removesuffix("stages")
        return nnunet.NNSSL.weights(nnunet.pretrained(state, plan, root))
    vit.check_parts(state)
    if source := next((s for s in SOURCES if s.knows(state)), None):
        return source.weights(state)
    _check_single(state)
    return Weights("a network whose kind its names do not tell", None, state)


def _check_single(state: Mapping[str, Tensor]) -> None:
    """Raise ValueError for the networks of a method, each under its name, which are ours."""
    networks = dict.fromkeys(m[1] for m in (re.match(r"(\w+)\.encoder\.", name) for name in state) if m)
    if networks and not any(name.startswith("encoder.") for name in state):
        raise ValueError(
            f"a whole method, with {', '.join(networks)}; give the run's folder, or save the state dict of one network"
        )


def _state_dict(content: Mapping[str, Any], where: str) -> dict[str, Tensor]:
    """Tensors by their names, without what was wrapped around them.

    Raises:
        ValueError: that makes two names one.
    """
    while inner := next((content[p] for p in _PLACES if isinstance(content.get(p), Mapping)), None):
        content = inner
    names: dict[str, str] = {}
    for name in (str(name) for name, value in content.items() if isinstance(value, Tensor)):
        if (first := names.setdefault(_bare(name), name)) != name:
            raise ValueError(
                f"{where} holds several networks: {first!r} and {name!r} are both {_bare(name)!r} of one; "
                "save the state dict of one alone"
            )
    return {_bare(str(name)): value for name, value in content.items() if isinstance(value, Tensor)}


def _bare(name: str) -> str:
    return _WRAPPERS.sub("", name)
