"""Batch norm with statistics of its own for each of two domains."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

Side = Literal["source", "target"]

BATCH = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class DomainNorm(nn.Module):
    """Batch norm (B, C, *spatial) whose statistics are those of the domain at hand, with one scale and shift for both.

    Domain-specific batch normalization: Chang et al., CVPR 2019, arXiv:1906.03950, whose scale and shift are of each
    domain too; here what the labeled source teaches them serves the target. The source's statistics, scale and shift
    keep the names that they have in a batch norm, so that weights go over between the two.

    Attributes:
        side: the domain of what comes, which whoever calls says by `set_domain`; a batch holds one domain.
    """

    running_mean: Tensor
    running_var: Tensor
    target_mean: Tensor
    target_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, norm: nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
        super().__init__()
        self.eps, self.momentum = norm.eps, norm.momentum
        self.weight, self.bias = norm.weight, norm.bias
        assert norm.running_mean is not None and norm.running_var is not None and norm.num_batches_tracked is not None
        for name, value in (("mean", norm.running_mean), ("var", norm.running_var)):
            self.register_buffer(f"running_{name}", value.clone())
            self.register_buffer(f"target_{name}", value.clone())
        self.register_buffer("num_batches_tracked", norm.num_batches_tracked.clone())
        self.side: Side = "target"

    def forward(self, x: Tensor) -> Tensor:
        mean, var = (
            (self.running_mean, self.running_var) if self.side == "source" else (self.target_mean, self.target_var)
        )
        if self.training:
            self.num_batches_tracked += 1
        return F.batch_norm(x, mean, var, self.weight, self.bias, self.training, self.momentum or 0.0, self.eps)


def per_domain(network: nn.Module) -> None:
    """Give each batch norm of a network statistics for two domains, in place.

    Raises:
        ValueError: it has none.
    """
    found = [(parent, name) for parent in network.modules() for name, child in parent.named_children()
             if isinstance(child, BATCH)]  # fmt: skip
    if not found:
        raise ValueError(
            "statistics by domain are batch norm's, and this network has no batch norm (instance and layer norm take "
            "those of each image): give --set network.norm=batch, or leave out norms=domain"
        )
    for parent, name in found:
        setattr(parent, name, DomainNorm(getattr(parent, name)))


def set_domain(network: nn.Module, side: Side) -> None:
    """Tell a network, or all networks of a method, which domain the images that come next are from."""
    for module in network.modules():
        if isinstance(module, DomainNorm):
            module.side = side
