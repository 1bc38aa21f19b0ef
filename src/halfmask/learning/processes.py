"""The processes that train one model together, each on its own device with its own share of the batch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from halfmask.networks.domain_norm import DomainNorm

Value = TypeVar("Value")


class Lost(ValueError):
    """Another process of the training has ended or cannot be reached."""


class Processes:
    """What processes do together; as it stands one process alone, for which all of it is trivial.

    Every call but the attributes is made by all of them, in the same order.

    Attributes:
        rank: of this process, from 0; rank 0 leads: it alone writes files and speaks.
        size: how many there are.
        local: how many of them share this computer.
    """

    rank, size, local = 0, 1, 1

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Set each floating tensor to its mean over the processes, in place: one reduction for each dtype."""

    def spread(self, tensors: Sequence[Tensor]) -> None:
        """Set each tensor to what it is in rank 0, in place."""

    def most(self, numbers: Sequence[int]) -> list[int]:
        """The largest that each number is in any process; of flags, whether any is set. Costs no wait for a GPU."""
        return list(numbers)

    def gather(self, value: Value) -> list[Value]:
        """What the value is in each process, by rank."""
        return [value]

    def differing(self, state: Mapping[str, Tensor]) -> list[str]:
        """The names of the tensors that are not the same in all processes, but for rounding."""
        return []

    def refuse_apart(self, state: Mapping[str, Tensor], whose: str) -> None:
        """Raise ValueError if some tensors are not the same in all processes, with their names."""
        if apart := self.differing(state):
            others = f" and {len(apart) - 3} others" if len(apart) > 3 else ""
            raise ValueError(
                f"the processes have come apart in {', '.join(apart[:3])}{others}: {whose} moves this by what one "
                "process saw, not by minimize.mean of it; train it in one process"
            )


ALONE = Processes()


class Several(Processes):
    """The processes of torch's default group; sums run in one order, so all get the same bits.

    Args:
        local: how many of them share this computer.
    """

    def __init__(self, local: int):
        self.rank, self.size, self.local = dist.get_rank(), dist.get_world_size(), local

    @torch.no_grad()
    def average(self, tensors: Sequence[Tensor]) -> None:
        for alike in _by_kind(tensors):
            flat = torch.cat([t.reshape(-1) for t in alike])
            with _connected():
                dist.all_reduce(flat)
            _put(flat / self.size, alike)

    @torch.no_grad()
    def spread(self, tensors: Sequence[Tensor]) -> None:
        for alike in _by_kind(tensors):
            flat = torch.cat([t.reshape(-1) for t in alike])
            with _connected():
                dist.broadcast(flat, src=0)
            _put(flat, alike)

    def most(self, numbers: Sequence[int]) -> list[int]:
        together = torch.tensor(numbers, dtype=torch.int64)  # on the CPU, where gloo reduces it
        with _connected():
            dist.all_reduce(together, op=dist.ReduceOp.MAX)
        return together.tolist()

    def gather(self, value: Value) -> list[Value]:
        values: list[Value] = [value] * self.size
        with _connected():
            dist.all_gather_object(values, value)
        return values

    @torch.no_grad()
    def differing(self, state: Mapping[str, Tensor]) -> list[str]:
        first, *others = self.gather({name: _mark(value) for name, value in state.items()})
        far = lambda name, mark, norm: any(abs(other[name][0] - mark) > 1e-3 * norm for other in others)
        return [name for name, (mark, norm) in first.items() if far(name, mark, norm)]


def norm_statistics(method: nn.Module) -> list[Tensor]:
    """The running means and variances of all norms.

    Several processes average them after each step, so that each holds at any time what is saved and validated.
    """
    norms = [m for m in method.modules() if isinstance(m, _NormBase | DomainNorm)]
    names = ("running_mean", "running_var", "target_mean", "target_var")
    return [s for m in norms for s in (getattr(m, name, None) for name in names) if s is not None]


def _by_kind(tensors: Sequence[Tensor]) -> list[list[Tensor]]:
    """Tensors of one dtype and device together, in the order of their first."""
    kinds: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}
    for t in tensors:
        kinds.setdefault((t.dtype, t.device), []).append(t)
    return list(kinds.values())


def _mark(tensor: Tensor) -> tuple[float, float]:
    """A sum of a tensor's elements with weights that scatter, and its norm, which says what is a small difference."""
    flat = tensor.detach().double().nan_to_num().flatten()
    weights = torch.arange(1, len(flat) + 1, dtype=torch.float64, device=flat.device).cos()
    return float(flat @ weights), float(flat.norm())


def _put(flat: Tensor, tensors: list[Tensor]) -> None:
    """Copy a flat tensor's parts back, whatever the tensors' memory layout."""
    for part, t in zip(flat.split([t.numel() for t in tensors]), tensors, strict=True):
        t.copy_(part.view(t.shape))


@contextlib.contextmanager
def _connected() -> Iterator[None]:
    """A broken connection is told in a line instead of the library's trace."""
    try:
        yield
    except RuntimeError as e:
        raise Lost(
            f"process {dist.get_rank()} of {dist.get_world_size()} lost the others: one has ended, or cannot be "
            "reached; other lines may say why. Give the same command with --resume to go on"
        ) from e
