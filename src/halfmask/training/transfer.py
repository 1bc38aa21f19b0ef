"""Weights that go over into the networks of a method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from halfmask.networks.backbone import Backbone
from halfmask.networks.factory import kind_of, name_of, takers
from halfmask.networks.fitting import check_numbers, fitted
from halfmask.networks.keys.source import Weights

SHOWN = 4
"""How many names of a kind a report gives."""

_FEATURES = {"swin_unet": "embed", "swin_unetr": "feature_size", "unetr": "hidden_size", "vit_b16": "hidden_size"}
"""The setting that the features of an encoder's first kernel come from; "width" where it is not told."""
_KIND = "is it a network of the same kind?"


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
        return "; ".join([f"{len(self.taken)} tensors, {self.share:.1%} of the parameters, went over", *self.notes])

    @property
    def notes(self) -> list[str]:
        """What did not go over as it was."""
        parts = []
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
        return parts


@torch.no_grad()
def transfer(
    source: Mapping[str, Tensor],
    network: Backbone,
    *,
    origin: Mapping[str, str] | None = None,
    unused: Sequence[str] = (),
) -> Transfer:
    """Copy the weights of the same name into ``network`` where their shape is the same or can be `fitted`.

    Args:
        origin: what the source calls its weights, by name here.
        unused: names there of further weights, for the report.

    Raises:
        ValueError: no kernel of the encoder fits, or less than two thirds of those that both have; or the source is 2D
            and the network 3D or the other way round; or what it holds are no numbers that can be weights.
    """
    own = network.state_dict()
    theirs = lambda name: (origin or {}).get(name, name)
    check_numbers({theirs(name): (source[name], value) for name, value in own.items() if name in source})
    _check_dims(source, own)
    fitting, unfit, adapted = {}, {}, {}
    for name in (name for name in own if name in source):
        given, value = source[name], own[name]
        if given.shape == value.shape:
            fitting[name] = given
        elif fit := fitted(name, given, network):
            fitting[name], adapted[name] = fit
        else:
            unfit[name] = f"{tuple(given.shape)} → {tuple(value.shape)}"
    weights = dict(network.named_parameters())
    share = sum(weights[n].numel() for n in fitting if n in weights) / sum(w.numel() for w in weights.values())
    known = {theirs(name) for name in source if name in own}
    left = dict.fromkeys(theirs(name) for name in source if theirs(name) not in known)
    missing = _read(name for name in own if name not in source)
    result = Transfer(list(fitting), missing, unfit, share, adapted, _read([*left, *unused]))
    _check_enough(result, source, network)
    for name, given in fitting.items():
        own[name].copy_(given)
    return result


def _read(names: Iterable[str]) -> list[str]:
    """Without counts that nobody reads."""
    return [name for name in names if not name.endswith(".num_batches_tracked")]


def _check_enough(found: Transfer, source: Mapping[str, Tensor], network: Backbone) -> None:
    """Of the encoder's kernels: norms and biases fit any network, and a V-Net shares half of the kernels of a U-Net."""
    kernels = {
        name: value
        for name, value in network.named_parameters()
        if name.startswith("encoder.") and name.endswith("weight") and value.ndim > 1
    }
    fit = len(kernels.keys() & set(found.taken))
    if fit == 0 or 3 * fit < 2 * len(kernels.keys() & source.keys()):
        told = f"only {fit} of {len(kernels)} kernels of the encoder would go over"
        both = [(source[name], value) for name, value in kernels.items() if name in source]
        remedy = _remedy(network, both) if next(iter(kernels), None) in found.unfit else _KIND
        raise ValueError("; ".join([told, *found.notes, remedy]))


def _remedy(network: Backbone, kernels: Sequence[tuple[Tensor, Tensor]]) -> str:
    """The setting with which the encoder's kernels, there and here, would fit, if it is their width alone."""
    if any(there.ndim != here.ndim or there.shape[2:] != here.shape[2:] for there, here in kernels):
        return _KIND
    there, here = (len(kernel) for kernel in kernels[0])
    return _KIND if there == here else f"give --set network.{_FEATURES.get(kind_of(network), 'width')}={there}"


def _check_dims(source: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Of kernels; norms and biases would fit, and mean nothing."""
    for name in (name for name in own if name in source):
        there, here = source[name].ndim, own[name].ndim
        if {there, here} == {4, 5}:
            shapes = f"{name} is {tuple(source[name].shape)} there, {tuple(own[name].shape)} here"
            raise ValueError(f"the weights are of a {there - 2}D network, this one is {here - 2}D: {shapes}")


def transfer_all(sources: Sequence[Weights], method: nn.Module, *, where: str) -> dict[str, str]:
    """Give the networks of a method what they can take, and report it by network.

    Of each kind the first network that learns takes all, and so do averages. Further ones take the encoder alone: two
    networks that are to label images for each other would else start as one.

    Args:
        sources: of one network, or of several of different kinds.
        where: the weights are from, for errors.

    Raises:
        ValueError: no network is of the weights' kind, or nothing fits.
    """
    networks = {name: n for name, n in method.named_children() if isinstance(n, Backbone)}
    kinds = {name: kind_of(network) for name, network in networks.items()}
    offered = {weights.network: weights for weights in sources}
    if None not in offered and not offered.keys() & set(kinds.values()):
        titles, takes = " and ".join(w.title for w in sources), " or ".join(takers(str(kind)) for kind in offered)
        raise ValueError(
            f"{where} holds the weights of {titles}, this run trains a {name_of(next(iter(networks.values())))}; "
            f"give --network {takes}, or other weights to --init"
        )
    told: dict[str, str] = {}
    begun: set[str] = set()
    for name, network in networks.items():
        weights = offered.get(kinds[name], offered.get(None))
        if weights is None:
            told[name] = f"nothing went over, as it is a {name_of(network)}"
            continue
        learns = any(p.requires_grad for p in network.parameters())
        whole = kinds[name] not in begun or not learns
        given = weights.state if whole else {k: v for k, v in weights.state.items() if k.startswith("encoder.")}
        try:
            told[name] = str(transfer(given, network, origin=weights.origin, unused=weights.unused))
        except ValueError as e:
            raise ValueError(f"{where}: {name}: {e}") from e
        if learns:
            begun.add(kinds[name])
    return told


def networks_of(state: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """A method's state by network: {"student": {…}, "teacher": {…}}."""
    found: dict[str, dict[str, Tensor]] = {}
    for name, value in state.items():
        network, _, rest = name.partition(".")
        if rest:
            found.setdefault(network, {})[rest] = value
    return found
