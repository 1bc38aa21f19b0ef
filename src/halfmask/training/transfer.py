"""Weights that go over from another run."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Transfer:
    """What went over into a network.

    Attributes:
        taken: names of the network's weights that were set.
        missing: its names that the source does not have.
        unfit: its names whose shape differs in the source, with both shapes.
        share: of the network's parameters that were set.
    """

    taken: list[str]
    missing: list[str]
    unfit: dict[str, str]
    share: float

    def __str__(self) -> str:
        parts = [f"{len(self.taken)} tensors, {self.share:.1%} of the parameters, went over"]
        if self.unfit:
            parts.append("other shape: " + "; ".join(f"{k} {v}" for k, v in self.unfit.items()))
        if self.missing:
            more = f" and {len(self.missing) - 4} more" if len(self.missing) > 4 else ""
            parts.append("not in the source: " + ", ".join(self.missing[:4]) + more)
        return "; ".join(parts)


@torch.no_grad()
def transfer(source: dict[str, Tensor], network: nn.Module) -> Transfer:
    """Copy the weights of the same name and shape into ``network``.

    Raises:
        ValueError: nothing fits.
    """
    own = network.state_dict()
    taken, missing, unfit = [], [], {}
    for name, value in own.items():
        if name not in source:
            missing.append(name)
        elif source[name].shape != value.shape:
            unfit[name] = f"{tuple(source[name].shape)} → {tuple(value.shape)}"
        else:
            value.copy_(source[name])
            taken.append(name)
    weights = dict(network.named_parameters())
    share = sum(weights[n].numel() for n in taken if n in weights) / sum(w.numel() for w in weights.values())
    result = Transfer(taken, missing, unfit, share)
    if share == 0:
        raise ValueError(f"no weight went over; {result}. Is it a network of the same kind?")
    return result


def networks_of(state: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """A method's state by network: {"student": {…}, "teacher": {…}}."""
    found: dict[str, dict[str, Tensor]] = {}
    for name, value in state.items():
        network, _, rest = name.partition(".")
        if rest:
            found.setdefault(network, {})[rest] = value
    return found
