"""Perturbations of a network's features (B, C, *spatial), of any level: noise, dropout, masks.

The families of cross-consistency training (Ouali et al., CVPR 2020, arXiv:2003.09005), two of which MuST shares.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def uniform_noise(x: Tensor, reach: float = 0.3) -> Tensor:
    """x (1 + n), n uniform in ±``reach`` at each place and channel; the public code's is one for the whole batch."""
    return x * (1 + reach * (2 * torch.rand_like(x) - 1))


def gaussian_noise(x: Tensor, std: float = 0.2) -> Tensor:
    """x + n, n normal, of ``std`` times the standard deviation of each image's channel, so that scales do not matter.

    MuST names Gaussian noise without saying more; this is about as strong as `uniform_noise`, and also where x is 0.
    """
    scale = x.detach().std(list(range(2, x.ndim)), correction=0, keepdim=True)
    return x + std * scale * torch.randn_like(x)


def drop_active(x: Tensor, low: float = 0.7, high: float = 0.9) -> Tensor:
    """0 at the most active places: where the mean of |x| over channels is at least U(low, high) of its maximum.

    One threshold for each image. The paper's features are positive; |x| serves those that are not.
    """
    activity = x.detach().abs().mean(1, keepdim=True)
    each = (len(x), *[1] * (x.ndim - 1))
    share = low + (high - low) * torch.rand(each, dtype=x.dtype, device=x.device)
    return x * (activity < share * activity.amax(list(range(1, x.ndim)), keepdim=True))


def drop_maps(x: Tensor, rate: float = 0.5) -> Tensor:
    """Whole maps dropped, the others scaled by 1 / (1 − rate): spatial dropout."""
    return torch.feature_dropout(x, rate, train=True)


ANY: tuple[Callable[[Tensor], Tensor], ...] = (uniform_noise, gaussian_noise, drop_active, drop_maps)


def perturbed(x: Tensor) -> Tensor:
    """One of the four perturbations of MuST's stochastic perturbation module, each as likely, for the whole batch."""
    return ANY[int(torch.randint(len(ANY), ()))](x)  # drawn on the CPU: nothing waits for the device


def masked(x: Tensor, keep: Tensor) -> Tensor:
    """x where ``keep`` (B, 1, *image) is True; a voxel of x that covers several of the image keeps their share."""
    return x * F.interpolate(keep.float(), x.shape[2:], mode="area").to(x.dtype)


def object_cutout(foreground: Tensor, erase: float = 0.4) -> Tensor:
    """What is kept, (B, 1, *spatial) bool, where a random box within that of the foreground is cut out of each image.

    Its sides are ``erase`` times those of the box around all foreground (B, 1, *spatial), bool; the paper's around
    each object. Without foreground all is kept.
    """
    inside = torch.ones_like(foreground)
    for axis in range(2, foreground.ndim):
        others = [a for a in range(1, foreground.ndim) if a != axis]
        occupied, n = foreground.any(others), foreground.shape[axis]
        at = torch.arange(n, device=foreground.device)
        first = at.where(occupied, n).amin(1, keepdim=True)
        side = (at.where(occupied, -1).amax(1, keepdim=True) + 1 - first).clamp(min=0)
        cut = (erase * side).ceil()
        start = first + (torch.rand(cut.shape, device=cut.device) * (side - cut + 1)).floor()
        within = (at >= start) & (at < start + cut)
        inside = inside & within.view(len(within), *[n if a == axis else 1 for a in range(1, foreground.ndim)])
    return ~inside


def adversarial(
    features: Sequence[Tensor], distance: Callable[[list[Tensor]], Tensor], length: float = 0.05
) -> list[Tensor]:
    """Features moved to where ``distance`` of them grows fastest: virtual adversarial training (arXiv:1704.03976).

    One gradient step, taken at a random place near by. The paper's lengths, ε 2 and a probe ξ of 1e-6 that float32
    rounds away, are absolute; ours are a share of the norm of each image's features at each level.
    """
    probe = [(f.detach() + _along(torch.randn_like(f), f, length)).requires_grad_() for f in features]
    steepest = torch.autograd.grad(distance(probe), probe)
    return [f + _along(g, f, length) for f, g in zip(features, steepest, strict=True)]


def _along(direction: Tensor, x: Tensor, share: float) -> Tensor:
    """``direction`` with the length of ``share`` times x, for each image; no gradient."""
    each = lambda values: values.view(-1, *[1] * (x.ndim - 1))
    length = lambda t: torch.linalg.vector_norm(t.flatten(1), dim=1)
    largest = direction.float().abs().flatten(1).amax(1)
    direction = direction.float() / each(largest.clamp(min=1e-37))  # squares of small gradients would be 0
    return (direction * each(share * length(x.detach().float()) / length(direction).clamp(min=0.5))).to(x.dtype)
