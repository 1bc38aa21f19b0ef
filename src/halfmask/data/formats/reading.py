"""What reading a file gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from halfmask.data.volume import Grid


@dataclass(frozen=True)
class Note:
    """Something that was left out or taken for granted while reading: what, and what to do about it."""

    what: str
    remedy: str


class Reading(NamedTuple):
    """An array (C, *spatial) with the file's own numbers, its grid, and what is to be known of both."""

    array: np.ndarray
    grid: Grid
    notes: tuple[Note, ...] = ()
