"""Processes join for a training, and leave it together."""

from __future__ import annotations

import contextlib
import datetime
import logging
import signal
from collections.abc import Iterator

import torch.distributed as dist
from lightning_fabric import Fabric

from halfmask.learning.processes import ALONE, Processes, Several
from halfmask.progress import muted
from halfmask.training.device import make_fabric
from halfmask.training.interrupt import Stopped, launcher_gone
from halfmask.training.launch import Surroundings

PATIENCE = datetime.timedelta(minutes=30)
"""How long a process waits for the others within a training, e.g. while the first fetches weights from the hub."""


@contextlib.contextmanager
def together(device: str, precision: str, here: Surroundings | None) -> Iterator[tuple[Fabric, Processes]]:
    """Join the processes of ``here``; with None this one trains alone.

    Within, rank 0 alone speaks. Of an error the process that meets it first tells; the others, which then miss
    that one, end without a word and with the same kind of exit code.

    Raises:
        ValueError: this computer has no such devices, or the processes do not find each other.
    """
    if here is None:
        yield make_fabric(device, precision), ALONE
        return
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces the group on standard error
    fabric = make_fabric(device, precision, here)
    if launcher_gone():
        raise SystemExit(128 + signal.SIGTERM)
    try:
        fabric.launch()
        dist.distributed_c10d._set_pg_timeout(PATIENCE)  # what they joined with was the shorter `JOIN`
    except (RuntimeError, OSError) as e:
        raise ValueError(f"process {here.rank} of {here.size} did not find the others: {e}") from e
    processes = Several(here.local)
    try:
        with muted(not processes.leads):
            yield fabric, processes
    except Stopped as e:  # by all, after the same step
        _leave(processes)
        if processes.leads:
            raise
        raise SystemExit(128 + e.signal) from None
    except BaseException as e:
        if _is_first():
            raise
        raise SystemExit(128 + signal.SIGINT if isinstance(e, KeyboardInterrupt) else 1) from None
    _leave(processes)


def _leave(processes: Processes) -> None:
    """Take the group down once all have come: gloo aborts a process whose partner has gone before it."""
    processes.most([0])
    dist.destroy_process_group()


def _is_first() -> bool:
    """Whether no other process has failed before this one; the store that all can reach counts them."""
    try:
        return dist.distributed_c10d._get_default_store().add("halfmask/failed", 1) == 1
    except RuntimeError:  # who kept the store has ended, and so was the first
        return False
