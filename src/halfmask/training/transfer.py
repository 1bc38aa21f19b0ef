"""Weights that go over into the networks of a method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from halfmask.networks.factory import name_of
from halfmask.networks.fitting import fitted
from halfmask.networks.keys.source import Weights
from halfmask.networks.segmenter import SegmentationNetwork

SHOWN = 4
"""How many names of a kind a report gives."""


@dataclass(frozen=True)
class Transfer:
    """What went over into a network.

    Attributes:
        taken: names of the network's weights that were set.
        missing: its names that the source does not have.
        unfit: its names whose shape differs in the source, with both shapes.
        share: of the network's parameters that were set.
        adapted: names among ``taken`` whose shape differed, with what was done.
        unused: names in the source that the network does not have.
    """

    taken: list[str]
    missing: list[str]
    unfit: dict[str, str]
    share: float
    adapted: dict[str, str] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        parts = [f"{len(self.taken)} tensors, {self.share:.1%} of the parameters, went over"]
        told = lambda texts: [f"{name} {text}" for name, text in texts.items()]
        last = {name: text for name, text in self.unfit.items() if name.startswith("head.")}
        for what, names in {
            "adapted": told(self.adapted),
            "the last layer is new, as its shape differs": told(last),
            "other shape": told({name: text for name, text in self.unfit.items() if name not in last}),
            "not in the source": self.missing,
            "not used of the source": self.unused,
        }.items():
            if names:
                more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
                parts.append(f"{what}: {', '.join(names[:SHOWN])}{more}")
        return "; ".join(parts)


@torch.no_grad()
def transfer(
    source: Mapping[str, Tensor],
    network: nn.Module,
    *,
    origin: Mapping[str, str] | None = None,
    unused: Sequence[str] = (),
) -> Transfer:
    """Copy the weights of the same name into ``network`` where their shape is the same or can be `fitted`.

    Args:
        origin: what the source calls its weights, by name here.
        unused: names there of further weights, for the report.

    Raises:
        ValueError: nothing fits, or the source is 2D and the network 3D or the other way round.
    """
    own = network.state_dict()
    _check_dims(source, own)
    taken, missing, unfit, adapted = [], [], {}, {}
    for name, value in own.items():
        if name not in source:
            missing.append(name)
            continue
        given = source[name]
        if given.shape != value.shape:
            if fit := fitted(name, given, network):
                given, adapted[name] = fit
            else:
                unfit[name] = f"{tuple(given.shape)} → {tuple(value.shape)}"
                continue
        value.copy_(given)
        taken.append(name)
    weights = dict(network.named_parameters())
    share = sum(weights[n].numel() for n in taken if n in weights) / sum(w.numel() for w in weights.values())
    missing = [name for name in missing if not name.endswith(".num_batches_tracked")]  # counts nobody reads
    theirs = lambda name: (origin or {}).get(name, name)
    known = {theirs(name) for name in source if name in own}
    left = dict.fromkeys(theirs(name) for name in source if theirs(name) not in known)
    result = Transfer(taken, missing, unfit, share, adapted, [*left, *unused])
    if share == 0:
        raise ValueError(f"no weight went over; {result}. Is it a network of the same kind?")
    return result


def _check_dims(source: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Of kernels; norms and biases would fit, and mean nothing."""
    for name in (name for name in own if name in source):
        there, here = source[name].ndim, own[name].ndim
        if {there, here} == {4, 5}:
            shapes = f"{name} is {tuple(source[name].shape)} there, {tuple(own[name].shape)} here"
            raise ValueError(f"the weights are of a {there - 2}D network, this one is {here - 2}D: {shapes}")


def transfer_all(weights: Weights, method: nn.Module, *, where: str) -> dict[str, str]:
    """Give the networks of a method what they can take, and report it by network.

    The first network that learns takes all, and so do averages. Further ones take the encoder alone: two
    networks that are to label images for each other would else start as one.

    Args:
        where: the weights are from, for errors.

    Raises:
        ValueError: none of them is of the weights' kind, or nothing fits.
    """
    networks = {name: n for name, n in method.named_children() if isinstance(n, SegmentationNetwork)}
    kinds = {name: name_of(network) for name, network in networks.items()}
    if weights.network not in (None, *kinds.values()):
        raise ValueError(
            f"{where} holds the weights of {weights.title}, this run trains a {next(iter(kinds.values()))}; "
            f"give --network {weights.network}, or other weights to --init"
        )
    encoder = {name: value for name, value in weights.state.items() if name.startswith("encoder.")}
    told, first = {}, True
    for name, network in networks.items():
        if weights.network not in (None, kinds[name]):
            told[name] = f"nothing went over, as it is a {kinds[name]}"
            continue
        learns = any(p.requires_grad for p in network.parameters())
        given = weights.state if first or not learns else encoder
        try:
            told[name] = str(transfer(given, network, origin=weights.origin, unused=weights.unused))
        except ValueError as e:
            raise ValueError(f"{where}: {name}: {e}") from e
        first = first and not learns
    return told


def networks_of(state: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """A method's state by network: {"student": {…}, "teacher": {…}}."""
    found: dict[str, dict[str, Tensor]] = {}
    for name, value in state.items():
        network, _, rest = name.partition(".")
        if rest:
            found.setdefault(network, {})[rest] = value
    return found
