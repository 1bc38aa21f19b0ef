"""Teachers that follow a student by an exponential moving average of its weights."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

Network = TypeVar("Network", bound=nn.Module)


def average_of(network: Network) -> Network:
    """A copy of ``network`` that takes no gradient, to be moved by `follow`.

    Its batch norms keep no statistics of their own: running a teacher in training mode (for its
    dropout) would else mix its batches into those that it follows.
    """
    teacher = copy.deepcopy(network).requires_grad_(False)
    for module in teacher.modules():
        if isinstance(module, _BatchNorm):
            module.momentum = 0.0
    return teacher


def warm(decay: float, step: int) -> float:
    """min(1 − 1/(t + 1), α): a true mean at first, so that early weights are soon forgotten.

    Tarvainen & Valpola, NeurIPS 2017, arXiv:1703.01780 (their code); t counts from 1.
    """
    return min(1 - 1 / (step + 2), decay)


@torch.no_grad()
def follow(teacher: nn.Module, student: nn.Module, decay: float) -> None:
    """θ' ← α θ' + (1 − α) θ, for weights and running statistics alike; counters are copied."""
    ours: list[torch.Tensor] = [*teacher.parameters()]
    theirs: list[torch.Tensor] = [*student.parameters()]
    for mine, its in zip(teacher.buffers(), student.buffers(), strict=True):
        if mine.is_floating_point():
            ours.append(mine)
            theirs.append(its)
        else:
            mine.copy_(its)
    torch._foreach_lerp_(ours, theirs, 1 - decay)
