"""How a training is carried out on this computer."""

from __future__ import annotations

from dataclasses import dataclass

from halfmask.data.load import CACHE


@dataclass(frozen=True)
class Options:
    """What may differ between two computers without changing what a run is.

    Attributes:
        device: "auto", "cpu" or "cuda".
        compile: the networks; None does so on CUDA (on a CPU it costs minutes and gains nothing).
        threads: that read batches ahead.
        validations: how often in a run, evenly; 0 never.
        save_seconds: between checkpoints, besides those at validations and at the end.
        cache: share of memory in which cases are held whole; see `data.load.Volumes`.
    """

    device: str = "auto"
    compile: bool | None = None
    threads: int = 2
    validations: int = 10
    save_seconds: float = 120.0
    cache: float = CACHE
