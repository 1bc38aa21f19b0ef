"""Weights and rates as functions of progress in [0, 1)."""

from __future__ import annotations

import math
from collections.abc import Callable


def sigmoid_rampup(progress: float, length: float = 1.0) -> float:
    """exp(−5 (1 − t)²), from 0.007 to 1 over the first ``length`` of training.

    Laine & Aila, ICLR 2017, arXiv:1610.02242.
    """
    t = min(progress / length, 1.0)
    return math.exp(-5 * (1 - t) ** 2)


def poly(progress: float) -> float:
    """(1 − t)^0.9, from 1 to 0. Chen et al., DeepLab, arXiv:1606.00915; nnU-Net's."""
    return (1 - progress) ** 0.9


def cosine(progress: float) -> float:
    """Half a cosine from 1 to 0. Loshchilov & Hutter, ICLR 2017, arXiv:1608.03983."""
    return 0.5 * (1 + math.cos(math.pi * progress))


def step(progress: float) -> float:
    """A tenth after each third of training: 1, 0.1, 0.01; PyTorch's ``StepLR`` with its own factor."""
    return 0.1 ** int(3 * progress)


def constant(progress: float) -> float:
    """1 throughout."""
    return 1.0


RATES: dict[str, Callable[[float], float]] = {"poly": poly, "cosine": cosine, "step": step, "constant": constant}
