"""What an exam is, and what it gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from halfmask.data.stored_case import StoredCase

LOOKS = 10
"""How often in a run its unlabeled images, or its features, are looked at."""


@dataclass(frozen=True)
class Grade:
    """How good the weights are on cases that they were not trained on.

    Attributes:
        figures: for the journal.
        score: the greater the better.
        told: the same for the reader.
    """

    figures: Mapping[str, float]
    score: float
    told: str


class Exam(Protocol):
    """What the training loop asks, between steps; the method is in evaluation mode, and nothing of it moves.

    Attributes:
        cases: names of those that `grade` measures on.
        patience: after so many grades that are not the best, training has nothing to add; None never stops it.
    """

    cases: tuple[str, ...]
    patience: int | None

    def look(self, step: int, steps: int) -> tuple[str, Mapping[str, Any]] | None:
        """A kind of journal line and its figures, if it is time to look; by the process that leads alone."""

    def grade(self) -> Grade:
        """By all processes together."""

    def predict(self, case: StoredCase) -> object:
        """What the method says of a case, to see what that takes; nothing for one that predicts nothing."""

    def result(self, best: float | None) -> dict[str, Any]:
        """What result.json says of the best grade."""
