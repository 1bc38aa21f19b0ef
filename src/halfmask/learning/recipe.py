"""What belongs to a run rather than to a method: optimizer, rate, steps and batch."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import torch
from torch.optim import Optimizer


@dataclass(frozen=True)
class Recipe:
    """How to train; None leaves the choice to whoever is asked before.

    A method proposes one as class data: base < plan < the method's recipe < the user.

    Attributes:
        optimizer: its name.
        rate: the learning rate at the start.
        momentum: of SGD (Nesterov).
        weight_decay: L2 for SGD and Adam, decoupled for AdamW.
        schedule: of the rate over training, see `learning.schedules`.
        clip: the largest norm of a gradient.
        steps: of training.
        labeled, unlabeled: images of each kind in a batch.
    """

    optimizer: Literal["sgd", "adam", "adamw"] | None = None
    rate: float | None = None
    momentum: float | None = None
    weight_decay: float | None = None
    schedule: Literal["poly", "cosine", "step", "constant"] | None = None
    clip: float | None = None
    steps: int | None = None
    labeled: int | None = None
    unlabeled: int | None = None

    def over(self, other: Recipe) -> Recipe:
        """This recipe, with the gaps filled from ``other``."""
        mine = {f.name: v for f in fields(self) if (v := getattr(self, f.name)) is not None}
        return replace(other, **mine)

    def make_optimizer(self) -> Callable[..., Optimizer]:
        """A function from parameters to their optimizer; updates of all tensors go in few kernels."""
        common: dict[str, Any] = {"lr": self.rate, "weight_decay": self.weight_decay, "foreach": True}
        if self.optimizer == "sgd":
            momentum = self.momentum or 0.0
            return functools.partial(torch.optim.SGD, momentum=momentum, nesterov=momentum > 0, **common)
        kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
        return functools.partial(kinds[self.optimizer], **common)  # type: ignore[index]


BASE = Recipe("sgd", 0.01, 0.99, 3e-5, "poly", 12.0, 6000)
"""nnU-Net's optimizer; the steps are those of the public semi-supervised benchmarks."""
