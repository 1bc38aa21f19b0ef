"""Labels at the coarser levels of a network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from halfmask.data.batch import IGNORE

SUM = {2: F.avg_pool2d, 3: F.avg_pool3d}


def label_pyramid(label: Tensor, strides: Sequence[Sequence[int]], classes: int) -> list[Tensor]:
    """A label at each level: the label itself, then pooled by the stride of the level relative to the image.

    A pooled voxel is foreground if any of its voxels is, so that small structures last to the bottleneck: of the most
    frequent foreground class among them, the lower number of two as frequent; or of each region that any of them is
    of. It is `IGNORE` only if all of them are; what nobody annotated has no say otherwise.

    Args:
        label: (B, *spatial) class numbers, or (B, K, *spatial) regions.
        strides: of each level, finest first. The first is not used: a network's logits are of the image's size.
        classes: K.

    Returns:
        one label a level, (B, *spatial / stride) or (B, K, *spatial / stride), int64.
    """
    dims = len(strides[0])
    regions = label.ndim == dims + 2
    counts = torch.cat([label == 0, label == 1], 1).float() if regions else _one_hot(label, classes)
    pyramid, before = [label], [1] * dims
    for stride in strides[1:]:
        ratio = [n // m for n, m in zip(stride, before, strict=True)]
        counts, before = SUM[dims](counts, ratio, divisor_override=1), list(stride)
        outside, inside = counts.chunk(2, 1) if regions else (counts[:, 0], counts[:, 1:])
        if regions:
            front, what = inside, torch.ones_like(inside, dtype=torch.int64)
        else:
            front, what = inside.max(1)
            what = what + 1
        pyramid.append(what.where(front > 0, torch.where(outside > 0, 0, IGNORE)))
    return pyramid


def _one_hot(label: Tensor, classes: int) -> Tensor:
    """(B, K, *spatial), float32; all 0 where ignored."""
    annotated = (label != IGNORE)[:, None]
    counts = torch.zeros(len(label), classes, *label.shape[1:], device=label.device)
    return counts.scatter_(1, label[:, None].where(annotated, 0), annotated.float())
