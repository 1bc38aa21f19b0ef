"""What a training makes of its unlabeled images, class by class: a class may be lost there without a sound."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from halfmask.augment.views import strong
from halfmask.data.batch import IGNORE, Images
from halfmask.learning.method import Segmenter
from halfmask.progress import say

LATE = 0.25
"""From this share of the training on a class that the pseudo-labels lack is warned of."""
VANISHED = 0.01
"""It is as good as gone where its share of the voxels is below so much of its share in the labeled images."""
CHANCE = 0.01
"""If it is likelier than this that the crops hold none of a class, its absence is noted, not warned of."""


class Monitor:
    """Looks at the same crops of unlabeled images again and again.

    The teacher is the method's `labeler`; the student sees the same crops, or their strong view if it is its own
    teacher. Hidden labels, where the store has them, are read here and nowhere else in a training, and only shown.

    Args:
        crops: as the training sees them but for augmentation, with labels, `IGNORE` where nobody knows.
        names: of the classes, or of the regions.
        expected: the share of voxels of each in the labeled images, at least.
        labeled: crops of the labeled images, placed alike: how many hold a class tells how likely `crops` do.
        size: crops that go through a network together.
        exclusive: classes, not regions that overlap.
    """

    def __init__(
        self,
        crops: Images,
        names: Sequence[str],
        expected: Sequence[float],
        labeled: Images,
        *,
        size: int,
        exclusive: bool,
    ):
        self.crops, self.names, self.expected, self.size = crops, names, expected, size
        self.exclusive = exclusive
        assert labeled.label is not None
        self.found = self._masks(labeled.label).flatten(2).any(2).float().mean(0).tolist()
        self.told: set[str] = set()
        self.noted: set[str] = set()

    @torch.no_grad()
    def look(
        self,
        method: Segmenter,
        progress: float,
        autocast: Callable[[], AbstractContextManager] = nullcontext,
    ) -> dict[str, float]:
        """Figures of each class, for the journal; warns of each class that the pseudo-labels have lost.

        It does so once, and again only when the class was back in between, or the training was.

        ``share`` of the voxels, mean ``confidence`` there, ``agreement`` (Dice of teacher's and student's voxels), and
        ``dice`` with the hidden labels: NaN where nothing is there to take the mean of.
        """
        counts = sum(self._counts(method, part, autocast) for part in range(0, len(self.crops), self.size))
        assert isinstance(counts, Tensor)
        voxels, ours, sure, theirs, both, known, truth, right = counts.cpu().double().unbind()
        figures = {
            "share": ours / voxels,
            "confidence": sure / ours,
            "agreement": 2 * both / (ours + theirs),
            "dice": (2 * right / (known + truth)).masked_fill(truth.sum() == 0, torch.nan),
        }
        self._warn(figures["share"].tolist(), progress)
        return {
            f"pseudo {what} {name}": value
            for what, values in figures.items()
            for name, value in zip(self.names, values.tolist(), strict=True)
        }

    def _counts(self, method: Segmenter, start: int, autocast: Callable[[], AbstractContextManager]) -> Tensor:
        """(8, K) sums over some crops; see `look`, which divides them."""
        image, label = (t[start : start + self.size] for t in (self.crops.image, self.crops.label))  # type: ignore[index]
        teacher, student = method.labeler, method.student
        with autocast():
            confidence, pseudo = method.decide(teacher(image))
            _, other = method.decide(student(image if student is not teacher else strong(image)))
        ours, theirs, truth = (self._masks(each) for each in (pseudo, other, label))
        known = label != IGNORE if label.ndim == ours.ndim else (label != IGNORE)[:, None]
        confidence = confidence if confidence.ndim == ours.ndim else confidence[:, None]
        everywhere = torch.ones_like(ours)
        parts = (everywhere, ours, ours * confidence, theirs, ours & theirs, ours & known, truth, ours & truth)
        return torch.stack([part.transpose(0, 1).flatten(1).sum(1, dtype=torch.float64) for part in parts])

    def _masks(self, label: Tensor) -> Tensor:
        """(B, K, *spatial), bool, of class numbers, or of the 0 and 1 of regions."""
        if not self.exclusive:
            return label == 1
        numbers = torch.arange(len(self.names), device=label.device)
        return label[:, None] == numbers.view(-1, *[1] * (label.ndim - 1))

    def _warn(self, shares: Sequence[float], progress: float) -> None:
        if progress < LATE:
            return
        lost = set()
        for name, share, expected, found in zip(self.names, shares, self.expected, self.found, strict=True):
            if share >= VANISHED * expected:
                continue
            lost.add(name)
            if (1 - found) ** len(self.crops) > CHANCE:
                if name not in self.noted:
                    say(
                        f"note: the pseudo-labels hold no {name!r} in the {len(self.crops)} crops that are looked at. "
                        f"There may be none: of such crops of the labeled images {found:.0%} hold any"
                    )
                self.noted.add(name)
            elif name not in self.told:
                say(
                    f"warning: the pseudo-labels hold next to no {name!r}, which is {expected:.2%} of the labeled "
                    "images: the unlabeled ones now teach that there is none. Let them count later (a ramp) or less "
                    "(the method's weight), or keep less sure labels (its threshold)"
                )
        self.told = lost


def expected_shares(voxels: Sequence[Mapping[int, int]], members: Tensor) -> list[float]:
    """The share of the voxels of each output; where not all were annotated it may be more.

    It is no share of the annotated voxels, as few strokes through a small lesion may be most of these.

    Args:
        voxels: of each labeled case, class number (or `IGNORE`) to count.
        members: (K, outputs), bool: which class lies in which output.
    """
    counts = torch.tensor([sum(v.get(k, 0) for v in voxels) for k in range(len(members))], dtype=torch.float64)
    return (counts @ members.double() / max(1, sum(sum(v.values()) for v in voxels))).tolist()
