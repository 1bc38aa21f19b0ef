"""Test-time adaptation: the normalization layers of a trained network go over to a single scan, and come back."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from halfmask.learning.method import Method, Segmenter
from halfmask.networks.domain_norm import BATCH, DomainNorm

AVERAGING = (*BATCH, DomainNorm)
"""Norms that keep means and variances of what they were trained on; the others take those of each image."""
NORMS = (*AVERAGING, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d, nn.GroupNorm, nn.LayerNorm)

Windows = Callable[[], Iterable[Tensor]]
"""Gives the windows (B, C, *patch) of a scan, batch by batch, each time anew."""


@dataclass(frozen=True)
class Adaptation:
    """What of the normalization layers goes over to a scan.

    With "statistics" batch norms take the means and variances of the scan in place of those of the training: Schneider
    et al., NeurIPS 2020, arXiv:2006.16971, without a prior; Nado et al., arXiv:2006.10963. With "entropy" scale and
    shift of all norms are moved as well, so that predictions are less undecided: Tent, Wang et al., ICLR 2021,
    arXiv:2006.10726. Tent predicts each batch as it goes and never turns back; here each scan is learned first, begins
    from the trained weights, and is predicted with statistics of all of it.

    Attributes:
        steps, rate: of Adam, for "entropy".
    """

    kind: Literal["statistics", "entropy"]
    steps: int = 10
    rate: float = 1e-3


def refuse_unfit(method: Method, how: Adaptation) -> None:
    """Raise ValueError unless the method's network has what is to be adapted."""
    if not isinstance(method, Segmenter):
        raise ValueError(
            "--test-time adapts what segments, not what tells whole images apart or makes clusters; leave it out"
        )
    norms = [norm for norm in method.predictor.modules() if isinstance(norm, NORMS)]
    if how.kind == "statistics" and not any(isinstance(norm, AVERAGING) for norm in norms):
        raise ValueError(
            "--test-time statistics is for batch norm, and this network has none: instance and layer norm take the "
            "statistics of each image anyway; leave it out, or give --test-time entropy"
        )
    if how.kind == "entropy" and not _weights(norms):
        raise ValueError(
            "--test-time entropy moves scale and shift of normalization layers, and this network has none; leave it out"
        )


@contextlib.contextmanager
def adapted(
    method: Segmenter,
    windows: Windows,
    how: Adaptation,
    autocast: Callable[[], AbstractContextManager] = nullcontext,
) -> Iterator[None]:
    """A context in which the method's normalization layers are a scan's; then all is again as it was before.

    Args:
        windows: of the scan, in batches that each stand for the whole of it.
    """
    norms = [norm for norm in method.modules() if isinstance(norm, NORMS)]
    with _kept(method, norms):
        if how.kind == "entropy":
            _less_undecided(method, norms, windows, how, autocast)
        _of_scan(method, norms, windows, autocast)
        method.eval()
        yield


def _less_undecided(
    method: Segmenter,
    norms: Sequence[nn.Module],
    windows: Windows,
    how: Adaptation,
    autocast: Callable[[], AbstractContextManager],
) -> None:
    """Scale and shift go down the mean entropy, batch by batch; statistics are the batch's meanwhile, as in Tent."""
    weights = _weights(norms)
    method.requires_grad_(False)
    for weight in weights:
        weight.requires_grad_(True)
    optimizer = torch.optim.Adam(weights, how.rate)
    _averaging(method, norms, momentum=0.0)
    again = itertools.chain.from_iterable(windows() for _ in itertools.count())
    for batch in itertools.islice(again, how.steps):
        with torch.enable_grad(), autocast():
            loss = method.entropy(method.predict(batch)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@torch.no_grad()
def _of_scan(
    method: Segmenter, norms: Sequence[nn.Module], windows: Windows, autocast: Callable[[], AbstractContextManager]
) -> None:
    """Means and variances become the means of those of the batches."""
    if not any(isinstance(norm, AVERAGING) for norm in norms):
        return
    for count, batch in enumerate(windows(), start=1):
        _averaging(method, norms, momentum=1 / count)  # 1 for the first: nothing is left of the training's
        with autocast():
            method.predict(batch)


def _averaging(method: nn.Module, norms: Sequence[nn.Module], *, momentum: float) -> None:
    """Norms that keep statistics take those of the batch, and so much of them into what they keep."""
    method.eval()
    for norm in norms:
        if isinstance(norm, AVERAGING):
            norm.train()
            norm.momentum = momentum


@contextlib.contextmanager
def _kept(method: nn.Module, norms: Sequence[nn.Module]) -> Iterator[None]:
    """Whatever happens within, weights and statistics of the norms come back, and so does what takes a gradient.

    Of gradients themselves nothing is kept.
    """
    tensors = [t for norm in norms for t in (*norm.parameters(recurse=False), *norm.buffers(recurse=False))]
    values = [t.detach().clone() for t in tensors]
    momenta = [(norm, norm.momentum) for norm in norms if isinstance(norm, AVERAGING)]
    learning = [(p, p.requires_grad) for p in method.parameters()]
    try:
        yield
    finally:
        with torch.no_grad():
            for t, value in zip(tensors, values, strict=True):
                t.copy_(value)
        for norm, momentum in momenta:
            norm.momentum = momentum
        for p, learns in learning:
            p.requires_grad_(learns).grad = None
        method.eval()


def _weights(norms: Iterable[nn.Module]) -> list[nn.Parameter]:
    return [weight for norm in norms for weight in norm.parameters(recurse=False)]
