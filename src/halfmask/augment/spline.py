"""Smooth random fields: a few control points, upsampled by cubic B-splines."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def spline(knots: Tensor, shape: Sequence[int]) -> Tensor:
    """The uniform cubic B-spline (B, C, *shape) with control points `knots` (B, C, *m), every m at least 4.

    Intervals between control points are (n − 1) / (m − 3) voxels; the outermost points lie one outside the
    field. It stays between the least and the greatest of them and has two continuous derivatives.
    """
    for axis, size in enumerate(shape, start=2):
        count = knots.shape[axis]
        assert count >= 4, f"a cubic spline needs 4 control points per axis, not {count}"
        at = torch.linspace(0, count - 3, size, device=knots.device) if size > 1 else knots.new_zeros(1)
        view = [size if i == axis else 1 for i in range(knots.ndim)]
        field = knots.new_zeros(*knots.shape[:axis], size, *knots.shape[axis + 1 :])
        for k in range(count):  # sums, not a matrix product: autocast would run that in bfloat16
            distance = (at + 1 - k).abs()
            near = 2 / 3 - distance**2 + distance**3 / 2
            weight = torch.where(distance < 1, near, (2 - distance).clamp(min=0) ** 3 / 6)
            field.addcmul_(knots.narrow(axis, k, 1), weight.view(view))
        knots = field
    return knots
