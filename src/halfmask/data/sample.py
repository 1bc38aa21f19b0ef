"""Which case, and where in it: a function of (seed, step, slot) and of nothing else."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from halfmask.data.stored_case import StoredCase

FOREGROUND = 0.5
"""Share of labeled crops that are placed on a voxel of a class drawn evenly (nnU-Net: one of two)."""


@dataclass(frozen=True)
class Sparse:
    """Only some slices keep their labels.

    Attributes:
        share: of the slices, in (0, 1].
        axis: of the prepared image (0–2) across which the slices lie.
        seed: which slices; larger shares contain smaller ones of the same seed.
    """

    share: float
    axis: int
    seed: int

    def annotated(self, case: StoredCase) -> np.ndarray:
        """The slices of a case that keep their labels, sorted; at least one."""
        n = case.shape[self.axis]
        order = np.random.default_rng((self.seed, zlib.crc32(case.name.encode()))).permutation(n)
        return np.sort(order[: max(1, round(self.share * n))])


@dataclass(frozen=True)
class Place:
    """A crop: the number of the case in its stream, and the first voxel, which may lie outside the image."""

    case: int
    start: tuple[int, ...]


class Stream:
    """An endless sequence of crops from some cases, each case as often as the others.

    Args:
        cases: to draw from.
        patch: (3,) the crop that training sees; it lies inside the image where it fits.
        margin: (3,) voxels more on each side, for rotations; they may lie outside.
        size: crops a batch, of all processes that train together.
        slots: those of them that this process reads; all unless given.
        seed, name: two streams of one seed and different names are independent.
        labeled: place crops on foreground and on annotated slices.
        evenly: every other labeled crop, from the first on, lies anywhere, as unlabeled ones do, and the rest on
            foreground; else each does so by chance.
        aligned: the crops of a batch lie at one place, drawn for each batch: at the same share of the way along each
            axis of their cases.
    """

    def __init__(
        self,
        cases: Sequence[StoredCase],
        *,
        patch: tuple[int, ...],
        margin: tuple[int, ...],
        size: int,
        seed: int,
        name: str,
        labeled: bool,
        evenly: bool = False,
        aligned: bool = False,
        sparse: Sparse | None = None,
        slots: range | None = None,
    ):
        self.slots = range(size) if slots is None else slots
        self.cases, self.patch, self.margin, self.size = tuple(cases), patch, margin, size
        self.seed, self.labeled, self.sparse = (seed, zlib.crc32(name.encode())), labeled, sparse
        self.aligned, self.evenly = aligned, evenly
        self.slices = [sparse.annotated(c) for c in cases] if labeled and sparse else None
        if (
            sparse
            and self.slices
            and all(len(s) == c.shape[sparse.axis] for s, c in zip(self.slices, cases, strict=True))
        ):
            counts = sorted({c.shape[sparse.axis] for c in cases})
            raise ValueError(
                f"a share of {sparse.share} leaves every slice labeled: axis {sparse.axis} has {counts} slices; "
                "choose another --slice-axis or a smaller share"
            )

    @property
    def crop(self) -> tuple[int, ...]:
        """(3,) what is read: patch and margins."""
        return tuple(p + 2 * m for p, m in zip(self.patch, self.margin, strict=True))

    def epoch(self, step: int) -> int:
        """How often all cases have been seen at this step."""
        return step * self.size // len(self.cases)

    def place(self, step: int, slot: int) -> Place:
        """The crop for one slot of one step's batch."""
        epoch, position = divmod(step * self.size + slot, len(self.cases))
        number = int(self._order(epoch)[position])
        if self.aligned:
            return Place(number, self._aligned(number, step))
        rng = np.random.default_rng((*self.seed, step, slot))
        focus = self._focus(number, rng, slot) if self.labeled else [None, None, None]
        start = []
        for n, p, m, f in zip(self.cases[number].shape, self.patch, self.margin, focus, strict=True):
            if n <= p:
                start.append(-((p - n) // 2) - m)
            else:
                first = rng.integers(0, n - p + 1) if f is None else int(np.clip(f, 0, n - p))
                start.append(int(first) - m)
        return Place(number, tuple(start))

    def _aligned(self, number: int, step: int) -> tuple[int, ...]:
        """The first voxel of a crop that lies where those of the batch's other cases do."""
        shares = np.random.default_rng((*self.seed, step)).random(3)
        sides = zip(self.cases[number].shape, self.patch, self.margin, shares, strict=True)
        return tuple((int(share * (n - p + 1)) if n > p else -((p - n) // 2)) - m for n, p, m, share in sides)

    def _focus(self, number: int, rng: np.random.Generator, slot: int) -> list[int | None]:
        """For each axis where the patch starts, None for anywhere: on foreground, or where something is annotated."""
        known = self._locations(number)
        on_foreground = rng.random() < FOREGROUND
        if self.evenly:
            on_foreground = (slot - self.slots.start) % 2 == 1
        classes = [k for k in known if k > 0] if on_foreground else []
        if classes := classes or [k for k in known if 0 in known]:
            voxels = known[classes[rng.integers(len(classes))]]
            voxel = voxels[rng.integers(len(voxels))]
            return [int(v) - p // 2 for v, p in zip(voxel, self.patch, strict=True)]
        focus: list[int | None] = [None, None, None]
        if self.slices is not None and self.sparse is not None:
            axis = self.sparse.axis
            focus[axis] = int(rng.choice(self.slices[number])) - int(rng.integers(self.patch[axis]))
        return focus

    @functools.lru_cache(maxsize=256)  # noqa: B019 (a stream lives as long as its training)
    def _locations(self, number: int) -> dict[int, np.ndarray]:
        """For each class some of its voxels (n, 3) that training may know of."""
        found = self.cases[number].locations
        if self.slices is not None and self.sparse is not None:
            kept, axis = self.slices[number], self.sparse.axis
            found = {k: voxels[np.isin(voxels[:, axis], kept)] for k, voxels in found.items()}
        return {k: voxels for k, voxels in found.items() if len(voxels)}

    @functools.lru_cache(maxsize=4)  # noqa: B019
    def _order(self, epoch: int) -> np.ndarray:
        return np.random.default_rng((*self.seed, 2**32, epoch)).permutation(len(self.cases))
