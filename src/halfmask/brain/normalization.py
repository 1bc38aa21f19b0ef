"""Brightness of the brain on one scale, [0, 1]."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

QUANTILES = (0.1, *range(10, 100, 10), 99.9)
"""In percent; the first and the last are the ends of the scale. Nyúl et al. (2000) found the deciles to do well."""


def landmarks(values: np.ndarray) -> np.ndarray:
    """The `QUANTILES` of the brightness in a brain, in the image's own units."""
    return np.percentile(values, QUANTILES)


def scale(values: np.ndarray, own: np.ndarray, standard: Sequence[float] | None = None) -> np.ndarray:
    """Values in [0, 1], float32, what lies beyond the ends clipped.

    Args:
        own: `landmarks` of the brain.
        standard: where these belong on the scale, from `learn`; None for a straight line from the first to the last.
    """
    if own[-1] <= own[0]:
        return np.zeros(values.shape, np.float32)  # a brain of one brightness
    if standard is None:
        return np.clip((values - own[0]) / (own[-1] - own[0]), 0, 1).astype(np.float32)
    rising, first = np.unique(own, return_index=True)  # quantiles may fall together where there are few grays
    return np.interp(values, rising, np.asarray(standard)[first]).astype(np.float32)


def learn(cohort: Sequence[Mapping[str, np.ndarray]]) -> dict[str, tuple[float, ...]]:
    """The standard scale of each channel: the mean over subjects of where their landmarks lie between the ends.

    Nyúl, Udupa, Zhang (2000), with the ends at 0 and 1.
    """
    standard = {}
    for channel in cohort[0]:
        each = [own[channel] for own in cohort if own[channel][-1] > own[channel][0]]
        if not each:
            raise ValueError(f"channel {channel!r} has one brightness throughout in all subjects; look at the images")
        shares = [(own - own[0]) / (own[-1] - own[0]) for own in each]
        standard[channel] = tuple(round(float(share), 5) for share in np.mean(shares, 0))
    return standard
