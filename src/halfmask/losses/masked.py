"""Losses of masked images (B, C, *spatial) that were reconstructed, in float32."""

from __future__ import annotations

from torch import Tensor

from halfmask.losses.segmentation import precise


def masked_mse(image: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error over the channels of masked voxels alone; ``mask`` (B, 1, *spatial), bool, has some."""
    error = (precise(image) - precise(target)).square() * mask
    return error.sum() / (mask.sum() * image.shape[1])
