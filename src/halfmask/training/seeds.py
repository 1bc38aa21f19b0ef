"""Seeds from what they belong to."""

from __future__ import annotations

import numpy as np


def mixed(*numbers: int) -> int:
    """A seed of torch's random numbers from several numbers, as (seed, step, rank)."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
