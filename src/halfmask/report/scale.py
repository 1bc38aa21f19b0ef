"""From figures to places in a plot, and round numbers to mark there."""

from __future__ import annotations

import math
from dataclasses import dataclass

WIDTH = 360.0
"""Of every plot, in units that are pixels on a narrow telephone."""
STYLES = 6
"""Colors, and dashes, that the style sheet has; then they start again."""


@dataclass(frozen=True)
class Scale:
    """A linear map of [low, high] to [start, stop]."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.stop - self.start)

    def ticks(self, about: int = 4) -> list[float]:
        """Multiples of 1, 2 or 5 times a power of ten, ``about`` so many."""
        step = round_step((self.high - self.low) / about)
        first = math.ceil(self.low / step - 1e-9)
        return [round(k * step, 12) for k in range(first, math.floor(self.high / step + 1e-9) + 1)]


def scale_for(low: float, high: float, start: float, stop: float) -> Scale:
    """A scale over [low, high] widened to round numbers; one value alone gets some room."""
    if high - low < 1e-9:
        low, high = low - max(0.05 * abs(low), 1e-3), high + max(0.05 * abs(high), 1e-3)
    step = round_step((high - low) / 4)
    return Scale(math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step, start, stop)


def round_step(size: float) -> float:
    """The next of 1, 2, 5 times a power of ten from ``size`` up."""
    power = 10.0 ** math.floor(math.log10(size))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= size * (1 - 1e-9))


def tick_label(value: float) -> str:
    """``0.5``, ``100``, ``2e+06``."""
    return f"{value:.6g}"
