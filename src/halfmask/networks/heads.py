"""Heads of pre-training: what is put on an encoder to learn from, and thrown away afterwards."""

from __future__ import annotations

from itertools import pairwise

from torch import nn


def perceptron(inputs: int, hidden: int, outputs: int, *, layers: int = 2) -> nn.Sequential:
    """From vectors (B, inputs) to (B, outputs) by ``layers`` linear layers with ReLU between.

    Without norm layers, so that small batches do.
    """
    widths = [inputs, *(hidden,) * (layers - 1), outputs]
    found: list[nn.Module] = []
    for a, b in pairwise(widths):
        found += [nn.Linear(a, b), nn.ReLU(inplace=True)]
    return nn.Sequential(*found[:-1])
