"""Cutting and mixing: parts of images removed, swapped, or exchanged and blended with another of the batch.

Like `Geometry`, each is drawn first and then applied to images, labels, pseudo-labels and confidences alike;
labels (B, *spatial) carry their `IGNORE` along.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from halfmask.augment.draw import to_device, uniform
from halfmask.data.batch import IGNORE


def partners(batch_size: int) -> Tensor:
    """(B,), on the CPU: a random partner for each, never itself if B > 1 (one cycle through the batch)."""
    order = torch.randperm(batch_size)
    return torch.empty_like(order).index_copy_(0, order, order.roll(1))


@dataclass(frozen=True)
class Box:
    """A random box in every sample.

    Attributes:
        mask: (B, 1, *spatial), bool, on the images' device: inside the box.
    """

    mask: Tensor

    @classmethod
    def draw(cls, like: Tensor, volume: tuple[float, float] = (0.02, 0.4), aspect: float = 3.0, p: float = 1.0) -> Box:
        """Boxes for images `like` (B, C, *spatial), wholly within them.

        Args:
            volume: range of the box's share of the image (UniMatch's); less where a side would not fit.
            aspect: the longest relative side over the shortest, at most.
            p: probability of a box; else it is empty.
        """
        shape = torch.tensor(like.shape[2:])
        share = uniform((len(like), 1), *volume) ** (1 / len(shape))
        stretch = uniform((len(like), len(shape)), -0.5, 0.5)
        stretch = aspect ** (stretch - stretch.mean(1, keepdim=True))
        side = (shape * share * stretch).round().clamp(min=1).minimum(shape)
        low = (torch.rand(side.shape) * (shape - side + 1)).floor()
        side = torch.where(torch.rand(len(like), 1) < p, side, 0.0)
        return cls(_boxes(low, side, like.shape[2:], like.device))

    def paste(self, x: Tensor, onto: Tensor) -> Tensor:
        """`x` inside the box and `onto` outside it, both (B, C, *spatial) or both labels (B, *spatial)."""
        return torch.where(self.mask if x.ndim == self.mask.ndim else self.mask[:, 0], x, onto)


def cutout(image: Tensor, box: Box, fill: Tensor | float = 0.0) -> Tensor:
    """`image` with `fill` inside the box: a number (0 is a z-scored image's mean) or a tensor, e.g. noise.

    DeVries & Taylor, arXiv:1708.04552.
    """
    return torch.where(box.mask, fill, image)


@dataclass(frozen=True)
class CutMix:
    """Puts a box from each sample's partner into it. Yun et al., ICCV 2019, arXiv:1905.04899.

    Attributes:
        box: the boxes, at the same place in sample and partner.
        partner: (B,), on the images' device.
    """

    box: Box
    partner: Tensor

    @classmethod
    def draw(
        cls, like: Tensor, volume: tuple[float, float] = (0.02, 0.4), aspect: float = 3.0, p: float = 1.0
    ) -> CutMix:
        return cls(Box.draw(like, volume, aspect, p), to_device(partners(len(like)), like.device))

    def __call__(self, x: Tensor) -> Tensor:
        """Of images, labels, pseudo-labels, confidences or masks, (B, C, *spatial) or (B, *spatial)."""
        return self.box.paste(x[self.partner], x)


@dataclass(frozen=True)
class Mixup:
    """Blends each sample with its partner. Zhang et al., ICLR 2018, arXiv:1710.09412.

    Attributes:
        weight: (B,), float32, the sample's own share λ.
        partner: (B,). Both on the images' device.
    """

    weight: Tensor
    partner: Tensor

    @classmethod
    def draw(cls, like: Tensor, alpha: float = 0.2) -> Mixup:
        """λ from Beta(alpha, alpha), one per sample."""
        weight = torch.distributions.Beta(alpha, alpha).sample((len(like),))
        return cls(to_device(weight, like.device), to_device(partners(len(like)), like.device))

    def __call__(self, x: Tensor) -> Tensor:
        """λ x + (1 − λ) x[partner], of images or probabilities."""
        weight = self.weight.view(-1, *[1] * (x.ndim - 1))
        return weight * x + (1 - weight) * x[self.partner]

    def mask(self, mask: Tensor) -> Tensor:
        """The lesser of both masks (bool or confidence): a blend is known only where both are."""
        return torch.minimum(mask, mask[self.partner])

    def label(self, label: Tensor, classes: int, *, exclusive: bool = True) -> tuple[Tensor, Tensor]:
        """Blended targets (B, K, *spatial) of labels, and where they are known.

        Of class numbers (B, *spatial) they are one-hot before, and known as (B, 1, *spatial); of regions
        (B, K, *spatial), which are not exclusive, known as (B, K, *spatial).
        """
        known = label != IGNORE
        if not exclusive:
            return self((label == 1).float()), self.mask(known)
        onehot = F.one_hot(torch.where(known, label, 0), classes).movedim(-1, 1).float()
        return self(onehot), self.mask(known)[:, None]


@dataclass(frozen=True)
class PatchSwap:
    """Exchanges pairs of boxes within each image: the context is wrong, the intensities stay.

    Chen et al., MedIA 2019, doi:10.1016/j.media.2019.101539.

    Attributes:
        index: (B, voxels), where each voxel of the flattened image comes from.
        mask: (B, 1, *spatial), bool: voxels in a swapped box.
    """

    index: Tensor
    mask: Tensor

    @classmethod
    def draw(
        cls, like: Tensor, count: int = 8, side: tuple[float, float] = (0.05, 0.25), limit: float = 0.3
    ) -> PatchSwap:
        """Up to `count` pairs of boxes; pairs that overlap or would pass the limit are left out.

        Args:
            side: range of a box's side as a share of the image's, by axis.
            limit: the greatest share of voxels that swapped boxes may cover.
        """
        batch_size, shape, device = len(like), torch.tensor(like.shape[2:]), like.device
        stride = torch.tensor(like[0, 0].numel()) // shape.cumprod(0)
        index = torch.arange(like[0, 0].numel(), device=device).expand(batch_size, -1)
        changed = torch.zeros(batch_size, 1, *like.shape[2:], dtype=torch.bool, device=device)
        for _ in range(count):
            sides = (shape * uniform((batch_size, len(shape)), *side)).round().clamp(min=1)
            a, b = ((torch.rand(sides.shape) * (shape - sides + 1)).floor() for _ in range(2))
            disjoint = ((a - b).abs() >= sides).any(1, keepdim=True)
            first, second = (_boxes(low, sides * disjoint, like.shape[2:], device) for low in (a, b))
            after = changed | first | second
            fits = after.flatten(1).float().mean(1) < limit
            fits = fits.view(-1, *[1] * (like.ndim - 1))
            changed = torch.where(fits, after, changed)
            step = to_device(((b - a).long() * stride).sum(1, keepdim=True), device)
            there = step * ((first & fits).flatten(1).long() - (second & fits).flatten(1).long())
            index = index.gather(1, torch.arange(index.shape[1], device=device) + there)
        return cls(index, changed)

    def __call__(self, x: Tensor) -> Tensor:
        """Of images (B, C, *spatial) or labels (B, *spatial)."""
        if x.ndim < self.mask.ndim:
            return self(x[:, None])[:, 0]
        return x.flatten(2).gather(2, self.index[:, None].expand(-1, x.shape[1], -1)).view_as(x)


def _boxes(low: Tensor, side: Tensor, shape: Sequence[int], device: torch.device) -> Tensor:
    """(B, 1, *shape), bool, of corners and sides (B, D) on the CPU."""
    mask = torch.ones((), dtype=torch.bool, device=device)
    for axis, size in enumerate(shape):
        at = torch.arange(size)
        within = (at >= low[:, axis, None]) & (at < (low + side)[:, axis, None])
        view = [-1 if i == axis else 1 for i in range(len(shape))]
        mask = mask & to_device(within, device).view(len(low), 1, *view)
    return mask
