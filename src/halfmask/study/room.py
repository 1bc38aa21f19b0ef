"""How many jobs fit beside each other on this computer."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from halfmask.study.job import Need

SHARE = 0.6
"""Of the memory that is free, what jobs may take together; besides they hold cases in up to 0.3 of it."""


@dataclass
class Room:
    """Cores, memory and GPUs that jobs share; `take` some before a job begins and `free` them after it.

    Attributes:
        cores: of the CPU.
        memory: GiB.
        gpus: GiB of each GPU, by the name that CUDA_VISIBLE_DEVICES has for it.
        parallel: the most jobs at once; as many as fit unless given.
    """

    cores: int
    memory: float
    gpus: Mapping[str, float] = field(default_factory=dict)
    parallel: int | None = None

    def __post_init__(self) -> None:
        self.taken: dict[str, tuple[Need, str | None]] = {}

    def split(self, needs: Sequence[Need]) -> int:
        """How many jobs of such needs run at once; each gets as many of the cores."""
        if not needs:
            return 1
        memory = max(need.memory for need in needs)
        gpu = max(need.gpu for need in needs)
        fit = [self.cores, len(needs)]
        if memory:
            fit.append(int(self.memory // memory))
        if gpu and self.gpus:
            fit.append(sum(int(free // gpu) for free in self.gpus.values()))
        if self.parallel is not None:
            fit = [self.parallel]
        return max(1, min(fit))

    def take(self, name: str, need: Need) -> dict[str, str] | None:
        """Make room for a job: the environment that says where, or None if it has to wait.

        A job that is alone always finds room: one that asks for more than there is may still get through.
        """
        others = [need for need, _ in self.taken.values()]
        if others and (
            len(others) >= (self.parallel or self.cores)
            or sum(o.threads for o in others) + need.threads > max(self.cores, self.parallel or 0)
            or sum(o.memory for o in others) + need.memory > self.memory
        ):
            return None
        gpu = self._gpu(need)
        if gpu is None and self.gpus and need.gpu and others:
            return None
        self.taken[name] = (need, gpu)
        if not (self.gpus and need.gpu):
            return {}
        return {"CUDA_VISIBLE_DEVICES": max(self.gpus, key=self._left) if gpu is None else gpu}

    def free(self, name: str) -> None:
        """The job has ended."""
        self.taken.pop(name, None)

    def _gpu(self, need: Need) -> str | None:
        """The GPU with the most memory left, if that is enough."""
        fit = [n for n in self.gpus if self._left(n) >= need.gpu]
        return max(fit, key=self._left) if fit and need.gpu else None

    def _left(self, gpu: str) -> float:
        return self.gpus[gpu] - sum(need.gpu for need, own in self.taken.values() if own == gpu)


def this_room(*, parallel: int | None, device: str) -> Room:
    """The room of this computer, as much of it as this process may use and is free."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Room(cores, SHARE * _free_memory(), {} if device == "cpu" else _gpus(), parallel)


def _gpus() -> dict[str, float]:
    """GiB free on each GPU, by its number, or as CUDA_VISIBLE_DEVICES names it: GPU-8932f937, MIG-…"""
    import torch

    if not torch.cuda.is_available():
        return {}
    count = torch.cuda.device_count()
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [name.strip() for name in seen.split(",")] if seen else list(map(str, range(count)))
    free = [SHARE * torch.cuda.mem_get_info(n)[0] / 2**30 for n in range(count)]
    return dict(zip(names, free, strict=False))  # what follows a name that leads nowhere is not seen


def _free_memory() -> float:
    """GiB that processes can still have: of the computer, or of the container that this one lives in."""
    import psutil

    free = psutil.virtual_memory().available
    try:
        group = Path("/sys/fs/cgroup")
        limit = int((group / "memory.max").read_text())
        lines = map(str.split, (group / "memory.stat").read_text().splitlines())
        used = sum(int(size) for name, size in lines if name in ("anon", "shmem", "kernel"))  # files give way
        free = min(free, limit - used)
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        pass
    return free / 2**30
