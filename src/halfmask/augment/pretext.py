"""Patches cut out and filled from elsewhere in the image or with noise, for those who are to inpaint them."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, prod

import torch
from torch import Tensor

from halfmask.augment.draw import to_device, uniform


@dataclass(frozen=True)
class Cutouts:
    """Boxes of each image, half of them filled with another part of its foreground, half with noise.

    SSL² (Wang et al., 2023, arXiv:2303.05026), Table 3; how many boxes there are is Tang et al.'s (CVPR 2022,
    arXiv:2111.14791): their volumes sum up to at most a share that is drawn for each image.

    Attributes:
        index: (B, voxels), where each voxel of the flattened image comes from.
        mask: (B, 1, *spatial), bool: voxels in a box.
        noise: (B, 1, *spatial), bool: those of them to be noise.
    """

    index: Tensor
    mask: Tensor
    noise: Tensor

    @classmethod
    def draw(
        cls, like: Tensor, side: tuple[float, float] = (0.05, 0.25), limit: float = 0.3, noise: float = 0.5
    ) -> Cutouts:
        """Boxes for images `like` (B, C, *spatial), wholly within them, one at least; later ones cover earlier ones.

        Args:
            side: range of a box's side as a share of the image's, by axis.
            limit: the greatest share of the image that all boxes cover.
            noise: share of the boxes that are filled with noise.
        """
        batch_size, spatial, device = len(like), like.shape[2:], like.device
        shape = torch.tensor(spatial)
        low = torch.tensor([max(1, ceil(side[0] * n)) for n in spatial])
        high = torch.maximum(low, torch.tensor([floor(side[1] * n) for n in spatial]))
        most = ceil(1.25 * limit / (sum(side) / 2) ** len(spatial))
        sides = low + (torch.rand(batch_size, most, len(spatial)) * (high - low + 1)).long()
        budget = uniform((batch_size, 1), prod(high.tolist()) / prod(spatial), limit) * prod(spatial)
        kept = sides.prod(2).cumsum(1) <= budget
        corner = (torch.rand(sides.shape) * (shape - sides + 1)).long()
        filled = torch.where(torch.rand(kept.shape) < noise, 1, 0)

        chance = torch.rand(kept.shape, dtype=torch.float64)
        corner, sides, kept, filled, chance = (to_device(t, device) for t in (corner, sides, kept, filled, chance))
        last = _last(corner, sides * kept[..., None], like).flatten(1)
        stride, shape = (to_device(t, device) for t in (shape.flip(0).cumprod(0).flip(0) // shape, shape))
        source = _foreground_voxels(like, chance)[..., None] // stride % shape - sides // 2
        source = source.clamp(min=0).minimum(shape - sides)
        away = ((source - corner) * stride).sum(2)
        of_box = lambda values: torch.cat([values.new_zeros(batch_size, 1), values], 1).gather(1, last)
        index = torch.arange(prod(spatial), device=device) + of_box(away)
        shaped = lambda flat: flat.view(batch_size, 1, *spatial)
        return cls(index, shaped(last > 0), shaped(of_box(filled) > 0))

    def __call__(self, x: Tensor) -> Tensor:
        """Images (B, C, *spatial) with their boxes filled; z-scored, so that noise has a standard deviation of 1."""
        moved = x.flatten(2).gather(2, self.index[:, None].expand(-1, x.shape[1], -1)).view_as(x)
        return torch.where(self.noise, torch.randn_like(x), moved)


def _last(corner: Tensor, sides: Tensor, like: Tensor) -> Tensor:
    """(B, *spatial), int64: the number of the last box (B, N, D) over each voxel, counted from 1, or 0.

    Box n weighs 2ⁿ, so that the last one is the exponent of the sum, and a sum over boxes is a matrix product.
    """
    power = torch.arange(corner.shape[1], device=like.device, dtype=torch.float64).exp2()
    weight = power[None, :, None].expand(len(like), -1, 1)
    inside = []
    for axis, n in enumerate(like.shape[2:]):
        at, first = torch.arange(n, device=like.device), corner[..., axis, None]
        inside.append(((at >= first) & (at < first + sides[..., axis, None])).double())
    rows = weight * inside[0]
    rest = inside[1] if len(inside) == 2 else (inside[1][..., None] * inside[2][..., None, :]).flatten(2)
    return torch.frexp(rows.transpose(1, 2) @ rest).exponent.long().view(len(like), *like.shape[2:])


def _foreground_voxels(image: Tensor, chance: Tensor) -> Tensor:
    """Numbers (B, N) of voxels of the foreground, any as likely; ``chance`` (B, N) is uniform in [0, 1).

    The foreground is what is nearer to the mean than to the least of an image, its channels averaged: the background
    is the darkest, and tissue is kept whole where there is none.
    """
    bright = image.mean(1).flatten(1)
    found = bright >= (bright.amin(1, keepdim=True) + bright.mean(1, keepdim=True)) / 2
    count = found.cumsum(1)
    return torch.searchsorted(count, (chance * count[:, -1:]).long() + 1)
