"""What was said of each case so far, wherever its images were cut from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from math import ceil, prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from halfmask.augment.draw import to_device
from halfmask.augment.resample import edges, positions
from halfmask.data.batch import Images


class PastPredictions(nn.Module):
    """The running average of the predictions of each case, at half resolution.

    Z ← α Z + (1 − α) p, and the average is Z / (1 − α^t) where t predictions were seen (Laine & Aila, ICLR 2017,
    arXiv:1610.02242, Algorithm 2). It is kept corrected already, which uses the 8 bits best: a new prediction
    has the share (1 − α) / (1 − α^t) in it. t is counted voxel by voxel, up to 255.

    The table is one flat uint8 tensor on the CPU. It is this module's extra state, so that a checkpoint carries it, and
    a method can be loaded without knowing the cases. Each step one box of it goes to the device for each image, and one
    comes back.

    Args:
        dims: 2 or 3; a 2D image lies across the first axis of its case, which then keeps its resolution.
        decay: α.
    """

    def __init__(self, dims: int, decay: float):
        super().__init__()
        self.cell = torch.tensor([2.0 if dims == 3 else 1.0, 2.0, 2.0], dtype=torch.float64)
        self.share = (1 / (decay ** torch.arange(256, dtype=torch.float64)).cumsum(0)).float()
        self.table = torch.empty(0, dtype=torch.uint8)
        self.cases: list[Tensor] = []

    def begin(self, cases: Mapping[str, Sequence[int]], classes: int, budget: float) -> None:
        """Make room for the cases, whose shapes (3,) come in the order of their numbers.

        Raises:
            ValueError: that would take more than ``budget`` GiB.
        """
        shapes = [
            tuple(ceil(n / side) for n, side in zip(shape, self.cell.tolist(), strict=True)) for shape in cases.values()
        ]
        sizes = [(classes + 1) * prod(shape) for shape in shapes]
        if sum(sizes) > budget * 2**30:
            raise ValueError(
                f"the past predictions of {len(sizes)} cases would take {sum(sizes) / 2**30:.3g} GiB of memory, and of "
                f"each checkpoint, the budget is {budget:g}; raise it, leave out unlabeled cases, or take mean_teacher"
            )
        self.table = torch.zeros(sum(sizes), dtype=torch.uint8)
        parts = self.table.split(sizes)
        self.cases = [part.view(classes + 1, *shape) for part, shape in zip(parts, shapes, strict=True)]

    def recall(self, images: Images) -> tuple[Tensor, Tensor]:
        """The average so far (B, K, *spatial), float32, in the images' frame, and where there is one (B, 1, *spatial).

        That is in every cell of which something was seen; the average is interpolated between such cells.
        """
        low, size = self._box(images)
        boxes = torch.zeros(len(images), len(self.cases[0]), *size, dtype=torch.uint8)
        for box, (inner, outer, case) in zip(boxes, self._overlaps(images, low, size), strict=True):
            box[inner] = case[outer]
        stored = to_device(boxes, images.image.device)
        seen = (stored[:, -1:] > 0).float()
        scale, shift = (to_device(t.float(), seen.device).view(3, 1) for t in edges(size))
        grid = (self._at(images, low).flatten(2) * scale + shift).flip(1).movedim(1, -1)[:, :, None, None]
        values = torch.cat([stored[:, :-1] / 255, seen], 1)
        total = F.grid_sample(values, grid, align_corners=False)
        own = F.grid_sample(seen, grid, mode="nearest", align_corners=False) > 0.5
        average = total[:, :-1] / total[:, -1:].clamp(min=0.1)  # an eighth at least is of a voxel's own cell
        spatial = images.image.shape[2:]
        return average.reshape(*average.shape[:2], *spatial), own.reshape(len(own), 1, *spatial)

    @torch.no_grad()
    def remember(self, images: Images, probability: Tensor) -> None:
        """Add predictions (B, K, *spatial) of the images to the average: in each cell the mean of the voxels in it."""
        low, size = self._box(images)
        cell = (self._at(images, low) + 0.5).floor().long().flatten(2)
        index = torch.arange(len(images), device=cell.device)[:, None]
        for axis, side in enumerate(size):
            index = index * side + cell[:, axis].clamp(0, side - 1)
        given = F.pad(probability.float().flatten(2), (0, 0, 0, 1), value=1.0).movedim(1, 2).flatten(0, 1)
        total = given.new_zeros(len(images) * prod(size), given.shape[1]).index_add_(0, index.flatten(), given)
        mean = torch.cat([total[:, :-1] / total[:, -1:].clamp(min=1) * 255, total[:, -1:].clamp(max=1)], 1)
        fresh = mean.round().to(torch.uint8).cpu().view(len(images), *size, -1).movedim(-1, 1)
        for box, (inner, outer, case) in zip(fresh, self._overlaps(images, low, size), strict=True):
            part, new = case[outer], box[inner]
            share = self.share[part[-1].long()] * new[-1]
            part[:-1] = torch.lerp(part[:-1].float(), new[:-1].float(), share).round()
            part[-1] += new[-1] * (part[-1] < 255)

    def get_extra_state(self) -> Tensor:
        return self.table

    def set_extra_state(self, state: Tensor) -> None:
        if not self.cases:
            self.table = state
        elif state.shape != self.table.shape:
            raise ValueError(f"past predictions of {len(state)} bytes do not fit these cases, of {len(self.table)}")
        else:
            self.table.copy_(state)

    def _place(self, images: Images) -> tuple[Tensor, Tensor]:
        """(B, 3, D) and (B, 3) from an image's voxels to cells, counted from the center of the first."""
        assert images.place is not None, "nobody says where in their cases these images lie"
        into, at = images.place[..., :-1], images.place[..., -1]
        return into / self.cell[:, None], (at - (self.cell - 1) / 2) / self.cell

    def _box(self, images: Images) -> tuple[Tensor, tuple[int, ...]]:
        """The first cell (B, 3) of a box around each image, whole numbers, and the shape of all of them."""
        into, at = self._place(images)
        ends = torch.tensor(list(product(*((0, n - 1) for n in images.image.shape[2:]))), dtype=torch.float64)
        corners = into @ ends.T + at[..., None]
        low = corners.amin(2).floor()
        return low, tuple((corners.amax(2).ceil() - low + 1).amax(0).long().tolist())

    def _at(self, images: Images, low: Tensor) -> Tensor:
        """Where each voxel lies in its box (B, 3, *spatial), in cells."""
        into, at = self._place(images)
        return positions(into, at - low, images.image.shape[2:], images.image.device)

    def _overlaps(self, images: Images, low: Tensor, size: Sequence[int]) -> list[tuple[tuple, tuple, Tensor]]:
        """For each image what of its box lies within its case, what of the case within the box, and the case."""
        found = []
        for number, corner in zip(images.case.tolist(), low.long().tolist(), strict=True):
            case, inner, outer = self.cases[number], [slice(None)], [slice(None)]
            for start, side, n in zip(corner, size, case.shape[1:], strict=True):
                first, last = max(start, 0), min(start + side, n)
                inner.append(slice(first - start, last - start))
                outer.append(slice(first, last))
            found.append((tuple(inner), tuple(outer), case))
        return found
