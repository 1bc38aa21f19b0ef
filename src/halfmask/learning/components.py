"""Connected components of labels."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor


def largest_components(label: Tensor, classes: int, *, exclusive: bool = True) -> Tensor:
    """A label with nothing left of each foreground class, or region, in each image but its largest component.

    Components hold together by faces, edges and corners; what is taken away becomes background, or no region. It runs
    on the CPU, image by image and class by class, and so waits for the device.

    Args:
        label: (B, *spatial) class numbers, or (B, K, *spatial) 0 and 1 of each region.
    """
    cpu = label.cpu().numpy()
    if exclusive:
        kept = np.zeros_like(cpu)
        for image, clean in zip(cpu, kept, strict=True):
            for k in range(1, classes):
                clean[_largest(image == k)] = k
    else:
        kept = np.stack([np.stack([_largest(region == 1) for region in image]) for image in cpu]).astype(cpu.dtype)
    return torch.from_numpy(kept).to(label.device)


def _largest(mask: np.ndarray) -> np.ndarray:
    """The largest component of a mask (*spatial), the first of equals; an empty one stays empty."""
    component, count = ndimage.label(mask, np.ones((3,) * mask.ndim))
    if count < 2:
        return mask
    return component == 1 + np.bincount(component.ravel())[1:].argmax()
