"""Whether tensors can be a network's weights, and those of another shape made to fit where that has a meaning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from halfmask.networks.backbone import Backbone
from halfmask.networks.levels import by


def fitted(name: str, weight: Tensor, network: nn.Module) -> tuple[Tensor, str] | None:
    """The weight as this network can take it, and in words what was done; None where nothing can be.

    Args:
        name: of the network's weight, which has another shape.
    """
    own = network.state_dict()[name]
    if name.startswith("encoder.") and isinstance(network, Backbone) and _is_input(own, weight, network):
        return of_channels(weight, network.channels), f"from {weight.shape[1]} channels to {network.channels}"
    if name.startswith("encoder.embed.") and own.ndim == weight.ndim == getattr(network, "dims", 0) + 2:
        if own.shape[0] != weight.shape[0]:
            return None
        sized, sides = of_token(weight, own.shape[2:]), (by(weight.shape[2:]), by(own.shape[2:]))
        return of_channels(sized, own.shape[1]), f"from tokens of {sides[0]} to {sides[1]}"
    if name.endswith(".position_embeddings") and own.shape[::2] == weight.shape[::2]:
        grid = network.get_submodule("encoder").grid
        assert isinstance(grid, tuple)
        first = own.shape[1] - prod(grid)  # a class token's position
        side = round(max(weight.shape[1] - first, 0) ** (1 / len(grid)))
        if side and side ** len(grid) == weight.shape[1] - first:
            positions = torch.cat([weight[:, :first], of_grid(weight[:, first:], grid)], 1)
            return positions, f"from a grid of {by((side,) * len(grid))} tokens to {by(grid)}"
    if name.endswith(".relative_position_bias_table") and own.shape[1:] == weight.shape[1:]:
        windows = network.get_submodule(name.rpartition(".")[0]).window_size
        assert isinstance(windows, tuple)
        side = round(len(weight) ** (1 / len(windows)))
        if side ** len(windows) == len(weight):
            return of_window(weight, windows), f"from a window of {(side + 1) // 2} to {by(windows)}"
    return None


def _is_input(own: Tensor, weight: Tensor, network: Backbone) -> bool:
    """Whether both are kernels that differ in the number of channels alone, and ours sees the image's."""
    kernels = own.ndim == weight.ndim == network.dims + 2
    return kernels and own.shape[1] == network.channels and own[:, 0].shape == weight[:, 0].shape


def of_channels(kernel: Tensor, channels: int) -> Tensor:
    """A kernel (features, C, *size) for other channels, which answers equal channels as before.

    Each is given the mean over C, times C / channels.
    """
    return kernel.sum(1, keepdim=True).div(channels).expand(-1, channels, *kernel.shape[2:])


def of_token(kernel: Tensor, size: Sequence[int]) -> Tensor:
    """An embedding kernel (features, C, *token) for tokens of another size.

    It answers a token that was enlarged linearly as the old kernel did the small one: the pseudo-inverse of the
    enlargement, axis by axis (FlexiViT: Beyer et al., CVPR 2023, arXiv:2212.08013, §3.4).
    """
    for axis, new in enumerate(size, start=2):
        old = kernel.shape[axis]
        if old != new:
            unit = torch.eye(old, dtype=torch.float64)[:, None]
            larger = F.interpolate(unit, new, mode="linear", align_corners=False)[:, 0].T  # (new, old)
            moved = kernel.movedim(axis, -1).double() @ torch.linalg.pinv(larger)
            kernel = moved.movedim(-1, axis).to(kernel)
    return kernel


def of_grid(positions: Tensor, grid: Sequence[int], there: Sequence[int] | None = None) -> Tensor:
    """Position embeddings (1, N, features) of a grid of tokens for another one, interpolated.

    As is done where a ViT is fine-tuned at another resolution (Dosovitskiy et al., ICLR 2021, arXiv:2010.11929, §3.2).

    Args:
        there: the grid that they are of; a cube if None.
    """
    there = there or (round(positions.shape[1] ** (1 / len(grid))),) * len(grid)
    image = positions.transpose(1, 2).unflatten(2, tuple(there)).float()
    mode = {2: "bicubic", 3: "trilinear"}[len(grid)]
    return F.interpolate(image, tuple(grid), mode=mode, align_corners=False).flatten(2).transpose(1, 2).to(positions)


def of_window(table: Tensor, window: tuple[int, ...]) -> Tensor:
    """Position biases (∏(2w − 1), heads) of a Swin block for another window, interpolated between offsets.

    As is done where Swin is fine-tuned with another window (Liu et al., ICCV 2021, arXiv:2103.14030, §3.2), but
    from edge to edge, so that offsets of both windows' corners get the same bias.
    """
    dims, heads = len(window), table.shape[1]
    side = round(len(table) ** (1 / dims))
    sides = [2 * w - 1 for w in window]
    image = table.T.reshape(1, heads, *(side,) * dims).float()
    mode = {2: "bicubic", 3: "trilinear"}[dims]
    return F.interpolate(image, sides, mode=mode, align_corners=True).reshape(heads, prod(sides)).T.to(table)


def check_numbers(pairs: Mapping[str, tuple[Tensor, Tensor]]) -> None:
    """Refuse tensors that are no network's weights.

    Args:
        pairs: each tensor, by its name where it is from, with the one that is to become it.

    Raises:
        ValueError: some are sparse, of no floating-point numbers where the others are, or not finite.
    """
    faults = [f"{name} {fault}" for name, (given, own) in pairs.items() if (fault := _fault(given, own))]
    if faults:
        more = [f"and {len(faults) - 4} more like these"] if len(faults) > 4 else []
        raise ValueError("\n".join([*faults[:4], *more]))


def _fault(given: Tensor, own: Tensor) -> str | None:
    if given.is_meta:
        return "has a shape but no numbers (device meta); save it with them"
    if given.layout != torch.strided:
        return "is a sparse tensor; save it dense"
    if given.is_complex() or (own.is_floating_point() and not given.is_floating_point()):
        return f"holds {str(given.dtype).removeprefix('torch.')}, not floating-point numbers; save it as float32"
    if not given.to(own.dtype).isfinite().all():
        return "holds numbers that are not finite; take weights from before that training diverged"
    return None
