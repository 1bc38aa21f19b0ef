"""What a training step is given: labeled and unlabeled images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

IGNORE = 255
"""The label of a voxel that nobody annotated, or that lies outside the image. Exists only inside halfmask."""


@dataclass(frozen=True)
class Images:
    """Some images of one kind, all on one device.

    Attributes:
        image: (B, C, *spatial), float32, normalized.
        label: (B, *spatial), int64 class numbers 0…K−1 or `IGNORE`; None where nothing is known.
        case: (B,), int64, the number of the case that each image was cut from.
    """

    image: Tensor
    label: Tensor | None
    case: Tensor

    def __len__(self) -> int:
        return len(self.image)

    def to(self, device: torch.device | str) -> Images:
        move = lambda t: t.to(device, non_blocking=True)
        return Images(move(self.image), None if self.label is None else move(self.label), move(self.case))

    def with_(self, **changes: Any) -> Images:
        """The same with other tensors, e.g. ``images.with_(image=noisy(images.image))``."""
        return replace(self, **changes)


@dataclass(frozen=True)
class Batch:
    """Labeled and unlabeled images, in unequal numbers; in domain adaptation, source and target."""

    labeled: Images
    unlabeled: Images

    @property
    def image(self) -> Tensor:
        """All images (B, C, *spatial), the labeled first."""
        return torch.cat([self.labeled.image, self.unlabeled.image])

    def to(self, device: torch.device | str) -> Batch:
        return Batch(self.labeled.to(device), self.unlabeled.to(device))
