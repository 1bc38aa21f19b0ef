"""When a loss has converged, as a rule that a checkpoint carries along."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

RULES: dict[str, tuple[int, int]] = {"paper": (10, 10), "windows": (200, 500)}
"""Losses that each rule looks back on, and steps that it waits at least."""


class Convergence(nn.Module):
    """Told the loss of each step, says whether it has converged.

    With several processes all have to be told the same, `Minimize.mean` of the loss.

    Args:
        rule: "paper": the loss is within ``share`` of the mean of the latest 10, itself among them, as in Yıldız,
            "Accelerated semi-supervised medical image segmentation", 2022; noise alone fulfills that after some dozen
            steps. "windows": the means of two successive windows of 100 steps differ by less than ``share``, after 500
            steps at least; asked every 100 steps, so the device is waited for no more often.
    """

    losses: Tensor

    def __init__(self, rule: Literal["paper", "windows"], share: float = 0.01):
        super().__init__()
        self.rule, self.share = rule, share
        self.size, self.least = RULES[rule]
        self.count = 0
        self.register_buffer("losses", torch.zeros(self.size))

    def forward(self, loss: Tensor) -> bool:
        self.losses[self.count % self.size] = loss.detach()
        self.count += 1
        if self.count < self.least or (self.rule == "windows" and self.count % (self.size // 2)):
            return False
        latest = self.losses.roll(-self.count)
        if self.rule == "paper":
            away, mean = latest[-1] - latest.mean(), latest.mean()
        else:
            mean, new = (half.mean() for half in latest.chunk(2))
            away = new - mean
        return bool(away.abs() < self.share * mean.abs())

    def restart(self) -> None:
        """Forget all, as another stage begins."""
        self.count = 0

    def get_extra_state(self) -> Tensor:
        return torch.tensor(self.count)

    def set_extra_state(self, state: Tensor) -> None:
        self.count = int(state)
