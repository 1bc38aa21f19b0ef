"""What methods of domain adaptation have in common."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from halfmask.data.batch import Batch
from halfmask.learning.method import Segmenter
from halfmask.networks.domain_norm import Side, per_domain, set_domain
from halfmask.networks.factory import Builder
from halfmask.networks.segmenter import SegmentationNetwork

Norms = Literal["shared", "domain"]
"""Statistics of batch norms: of a batch of both domains, or of each domain by itself; see `networks.domain_norm`."""

CRITIC_RATE = 2e-3
"""Of critics with spectral norm, which learn slowly; the papers, without it, have 1e-4."""


class Adapter(Segmenter):
    """A method that fits a segmenter to the unlabeled images of a target while it learns from a source's labels.

    The labeled half of its batch is the source, the unlabeled half the target. A critic would go by any other
    difference between the two, so both are augmented alike, and it sees `comparable` source images alone.

    Attributes:
        rates: learning rates at the start of its critics and translators, by name; their optimizer is Adam.
    """

    alike = True
    evenly = True
    student: SegmentationNetwork

    def __init__(self, network: Builder, norms: Norms):
        super().__init__(network)
        self.student = network()
        self.norms = norms
        self.rates: dict[str, float] = {}
        if norms == "domain":
            per_domain(self.student)

    def optimizers(self, default):
        adam = lambda name, rate: torch.optim.Adam(getattr(self, name).parameters(), lr=rate, betas=(0.5, 0.999))
        return super().optimizers(default) | {name: adam(name, rate) for name, rate in self.rates.items()}

    def maps(self, batch: Batch) -> tuple[list[Tensor], list[Tensor]]:
        """The student's maps (B, C, *spatial) of each level, finest first: of the source, and of the target."""
        if self.norms == "domain":
            return self._maps(batch.labeled.image, "source"), self._maps(batch.unlabeled.image, "target")
        maps, n = self.student.decode(self.student.encode(batch.image)), len(batch.labeled)
        return [m[:n] for m in maps], [m[n:] for m in maps]

    def logits(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits (B, K, *spatial) of the source, and of the target."""
        source, target = self.maps(batch)
        return self.student.head(source[0]), self.student.head(target[0])

    def segment(self, image: Tensor, side: Side) -> Tensor:
        """Logits (B, K, *spatial) of images that are all of one domain."""
        return self.student.head(self._maps(image, side)[0])

    @staticmethod
    def comparable(source: Tensor) -> Tensor:
        """Of source images, or what was made of them, those that lie anywhere, as those of the target do."""
        return source[::2]

    def _maps(self, image: Tensor, side: Side) -> list[Tensor]:
        set_domain(self.student, side)
        return self.student.decode(self.student.encode(image))
