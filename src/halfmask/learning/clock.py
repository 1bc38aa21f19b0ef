"""How far training is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Clock:
    """A position in training.

    Attributes:
        step: from 0.
        steps: in all.
        epoch: passes over the smaller of the labeled and the unlabeled stream, from 0.
    """

    step: int
    steps: int
    epoch: int = 0

    @property
    def progress(self) -> float:
        """The share of training done, in [0, 1)."""
        return self.step / self.steps
