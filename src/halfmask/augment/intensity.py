"""Intensity augmentation: what differs between scanners, protocols and coils, and none of the anatomy.

Every transform is a function ``f(x, parameter)`` of z-scored images x (B, C, *spatial). The parameter is a
number or a tensor (B, C, …) *on the CPU*, as `draw` gives it; one that says "no change" leaves its channel as
it is, bit for bit, and costs nothing. Who keeps the parameters can apply the same transform again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from halfmask.augment.draw import to_device
from halfmask.augment.spline import spline


def noisy(image: Tensor, std: float = 0.1) -> Tensor:
    """`image` with Gaussian noise clipped at two standard deviations: the η of mean teacher and its kin."""
    return image + (torch.randn_like(image) * std).clamp(-2 * std, 2 * std)


def noise(x: Tensor, std: Tensor | float) -> Tensor:
    """Adds Gaussian noise, drawn here, of standard deviation `std`. No change: 0."""
    return _change(x, std, 0.0, lambda rows, std: rows + torch.randn_like(rows) * std)


def brightness(x: Tensor, factor: Tensor | float) -> Tensor:
    """Multiplies by `factor`. No change: 1."""
    return _change(x, factor, 1.0, torch.mul)


def shift(x: Tensor, amount: Tensor | float) -> Tensor:
    """Adds `amount`, in standard deviations of the image. No change: 0."""
    return _change(x, amount, 0.0, torch.add)


def contrast(x: Tensor, factor: Tensor | float) -> Tensor:
    """Stretches by `factor` about the mean, clipped to the range there was, as nnU-Net does. No change: 1."""

    def change(rows: Tensor, factor: Tensor) -> Tensor:
        low, high = _extremes(rows)
        mean = rows.mean(list(range(1, rows.ndim)), keepdim=True)
        return ((rows - mean) * factor + mean).maximum(low).minimum(high)

    return _change(x, factor, 1.0, change)


def gamma(x: Tensor, exponent: Tensor | float, inverted: bool = False) -> Tensor:
    """Raises the intensities, brought to 0…1, to the power `exponent`. No change: 1.

    With `inverted` they count from the bright end. Mean and standard deviation stay, as in nnU-Net.
    """

    def change(rows: Tensor, exponent: Tensor) -> Tensor:
        low, high = _extremes(rows)
        span = (high - low).clamp(min=1e-7)
        unit = (high - rows if inverted else rows - low) / span
        bent, _, norm = _centered(-(unit**exponent) if inverted else unit**exponent)
        _, mean, wanted = _centered(rows)
        return bent * (wanted / norm.clamp(min=1e-7)) + mean

    return _change(x, exponent, 1.0, change)


def blur(x: Tensor, sigma: Tensor | float) -> Tensor:
    """Gaussian blur of standard deviation `sigma` voxels, cut off at 4 σ, edges repeated. No change: 0."""
    reach = int((4 * torch.as_tensor(sigma).max() + 0.5).floor())  # on the CPU, so nothing waits for it

    def change(rows: Tensor, sigma: Tensor) -> Tensor:
        away = torch.arange(reach + 1, device=rows.device).view(-1, *[1] * rows.ndim)
        # A kernel of each row's own reach, so that no row depends on its neighbors' σ.
        weight = torch.exp(-0.5 * (away / sigma) ** 2) * (away <= (4 * sigma + 0.5).floor())
        weight = weight / (2 * weight.sum(0) - 1)
        for axis, size in enumerate(rows.shape[1:], start=1):
            index = torch.arange(-reach, size + reach, device=rows.device).clamp(0, size - 1)
            padded = rows.index_select(axis, index)
            rows = padded.narrow(axis, reach, size) * weight[0]
            for k in range(1, reach + 1):
                pair = padded.narrow(axis, reach - k, size) + padded.narrow(axis, reach + k, size)
                rows.addcmul_(pair, weight[k])
        return rows

    return _change(x, sigma, 0.0, change)


def low_resolution(x: Tensor, zoom: Tensor | float, axes: Sequence[bool] | None = None) -> Tensor:
    """Sampled at `zoom` times the resolution (nearest voxel) and back (linear), along `axes`. No change: 1.

    Args:
        zoom: in (0, 1]; a side of n voxels passes through round(zoom · n).
        axes: which of them; default all. Leave out that of thick slices.
    """

    def change(rows: Tensor, zoom: Tensor) -> Tensor:
        zoom, row = zoom.view(-1, 1), torch.arange(len(rows), device=rows.device)[:, None]
        for axis, size in enumerate(rows.shape[1:], start=1):
            if axes is not None and not axes[axis - 1]:
                continue
            coarse = (zoom * size).round().clamp(min=1)
            at = (torch.arange(size, device=rows.device) + 0.5) * coarse / size - 0.5
            low = at.clamp(min=0).floor()
            high = torch.minimum(low + 1, coarse - 1)
            rows = rows.movedim(axis, 1)  # one index for whole planes: five times faster than `gather`
            near, far = (rows[row, ((i + 0.5) * size / coarse).long().clamp(max=size - 1)] for i in (low, high))
            share = (at.clamp(min=0) - low).view(len(rows), size, *[1] * (rows.ndim - 2))
            rows = torch.lerp(near, far, share).movedim(1, axis)
        return rows

    return _change(x, zoom, 1.0, change)


def bias_field(x: Tensor, knots: Tensor) -> Tensor:
    """Multiplies by the exponential of a smooth field, intensities being counted from the darkest voxel.

    (Of a z-scored image's own values the field would turn dark and bright opposite ways.) No change: 0.

    Args:
        knots: (B, C, *m), control points of the field's logarithm, each m at least 4; see `draw.bias_knots`.
    """

    def change(rows: Tensor, knots: Tensor) -> Tensor:
        low, _ = _extremes(rows)
        return (rows - low) * spline(knots[:, None], rows.shape[1:])[:, 0].exp() + low

    return _change(x, knots, 0.0, change)


def histogram_shift(x: Tensor, levels: Tensor) -> Tensor:
    """Sends the intensities along a rising line of straight pieces, from the least to the greatest.

    Args:
        levels: (B, C, n), rising: where the n inner points go that lie evenly between the least intensity (0)
            and the greatest (1); see `draw.histogram_levels`. No change: k / (n + 1).
    """
    count = levels.shape[-1]

    def change(rows: Tensor, levels: Tensor) -> Tensor:
        low, high = _extremes(rows)
        ends = levels.new_zeros(len(levels), 1)
        slopes = torch.cat([ends, levels, ends + 1], 1).diff(dim=1) * (count + 1)
        bends = slopes.diff(dim=1).view(len(rows), count, *[1] * (rows.ndim - 1))
        out = low + (rows - low) * slopes[:, 0].view(low.shape)
        for k in range(count):  # a hinge where each slope turns into the next
            out.addcmul_((rows - torch.lerp(low, high, (k + 1) / (count + 1))).relu_(), bends[:, k])
        return out

    return _change(x, levels, torch.arange(1, count + 1) / (count + 1), change)


def _change(
    x: Tensor,
    parameter: Tensor | float,
    neutral: Tensor | float,
    change: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """`x` with `change(rows, parameter)` for those channels, rows (R, *spatial), that are to change.

    One number per channel arrives as (R, 1, …), ready to broadcast; larger parameters as (R, …).
    """
    parameter = torch.as_tensor(parameter, dtype=torch.float32)
    parameter = parameter.expand(*x.shape[:2], *parameter.shape[2:])
    chosen = (parameter != neutral).reshape(*x.shape[:2], -1).any(-1).flatten().nonzero()[:, 0]
    if not len(chosen):
        return x
    rows, index = x.flatten(0, 1), to_device(chosen, x.device)
    values = to_device(parameter.flatten(0, 1)[chosen], x.device)
    if values.ndim == 1:
        values = values.view(-1, *[1] * (x.ndim - 2))
    return rows.index_copy(0, index, change(rows[index], values)).view_as(x)


def _extremes(rows: Tensor) -> tuple[Tensor, Tensor]:
    axes = list(range(1, rows.ndim))
    return rows.amin(axes, keepdim=True), rows.amax(axes, keepdim=True)  # far quicker than `aminmax` on a CPU


def _centered(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows less their mean, the mean, and the norm of what is left: √voxels standard deviations."""
    axes = list(range(1, rows.ndim))
    mean = rows.mean(axes, keepdim=True)
    centered = rows - mean
    return centered, mean, torch.linalg.vector_norm(centered, dim=axes, keepdim=True)  # `std` is far slower
