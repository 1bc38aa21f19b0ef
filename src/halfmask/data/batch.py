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
    """Some images of one kind, all on one device; where they are from stands on the CPU.

    Attributes:
        image: (B, C, *spatial), float32, normalized.
        label: (B, *spatial), int64 class numbers 0…K−1 or `IGNORE`; None where nothing is known. Where whole images are
            told apart (B,), or (B, K) of 0, 1 and `IGNORE` where one may be of several classes.
        case: (B,), int64, on the CPU: the number of the case that each image was cut from.
        place: (B, 3, D + 1), float64, on the CPU: voxel o of an image lies at ``place @ (*o, 1)`` in its case as it is
            stored, but for an elastic deformation; None where nobody says.
    """

    image: Tensor
    label: Tensor | None
    case: Tensor
    place: Tensor | None = None

    @property
    def label_map(self) -> Tensor | None:
        """The labels if they lie where the images do, and move with them; not those of whole images."""
        return self.label if self.label is not None and self.label.ndim > 2 else None

    def __len__(self) -> int:
        return len(self.image)

    def to(self, device: torch.device | str) -> Images:
        move = lambda t: t.to(device, non_blocking=True)
        label = None if self.label is None else move(self.label)
        return Images(move(self.image), label, self.case, self.place)

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
