"""Overlapping regions: named unions of the exclusive classes that a label map holds.

A network that is trained on R regions puts out R maps, each by itself between no and yes (sigmoid); one that is
trained on K classes shares out each voxel among them (softmax). Members (K, R), boolean, say which class lies in
which region.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from halfmask.data.batch import IGNORE


def region_labels(label: Tensor, members: np.ndarray) -> Tensor:
    """What networks are to say: 1 inside each region, 0 outside, `IGNORE` where nobody annotated.

    Args:
        label: (B, *spatial), int64, class numbers 0…K−1 or `IGNORE`.

    Returns: (B, R, *spatial), int64.
    """
    table = torch.full((members.shape[1], IGNORE + 1), IGNORE)
    table[:, : len(members)] = torch.from_numpy(members.T.astype(np.int64))
    return table.to(label.device)[:, label].movedim(0, 1)


def class_scores(probability: Sequence[np.ndarray], members: np.ndarray) -> Iterator[np.ndarray]:
    """For each class the logarithm of how likely it is that just its regions are there, one map at a time.

    Where the regions above ½ are those of some class, that class has the largest score, so nothing is lost by writing
    classes; where they are not (a core outside the tumor), the class that disagrees least has. No order in which
    regions overwrite each other is needed, as nnU-Net's ``regions_class_order``.

    Args:
        probability: (R, *spatial), each in [0, 1].
    """
    least = np.float32(1e-7)
    inside = [np.log(np.maximum(p, least)) for p in probability]
    outside = [np.log(np.maximum(1 - p, least)) for p in probability]
    for regions in members:
        yield np.sum([yes if lies else no for lies, yes, no in zip(regions, inside, outside, strict=True)], axis=0)


def largest(scores: Iterable[np.ndarray]) -> np.ndarray:
    """The number of the largest score at each voxel, uint8, the first of equals; only two maps are held at a time."""
    numbered = enumerate(scores)
    _, best = next(numbered)
    best, result = best.copy(), np.zeros(best.shape, np.uint8)
    for number, score in numbered:
        larger = score > best
        result[larger], best[larger] = number, score[larger]
    return result
