"""Which way a metric is better, and how far it can go."""

from __future__ import annotations

import math

from halfmask.evaluation.metrics import DISTANCES, LESIONS, OVERLAP, VOLUME

SHARES = (*OVERLAP, *LESIONS)
"""Metrics from 0 to 1, told in points (hundredths)."""


def lower_is_better(metric: str) -> bool:
    """Of distances, and of volume errors, which are compared by their size; of no other metric."""
    return metric in DISTANCES or metric in VOLUME


def sign(metric: str) -> int:
    """1 or −1: times it, more of the metric is better."""
    return -1 if lower_is_better(metric) else 1


def best(metric: str) -> float:
    """The best that a metric can be, times its `sign`: 1 for shares, 0 mm for distances; infinity where unknown."""
    return 1.0 if metric in SHARES else 0.0 if lower_is_better(metric) else math.inf
