"""Batches: crops read ahead by threads, straight into the batch's buffers."""

from __future__ import annotations

import functools
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from halfmask.data.batch import IGNORE, Batch, Images
from halfmask.data.sample import Stream
from halfmask.data.stored_case import StoredCase

CACHE = 0.3
"""Share of the memory of the device, or of the machine, that the volumes of one stream may take."""


class Volumes:
    """The voxels of a stream's cases: held whole on the device or in RAM when they fit, else on disk.

    Args:
        labels: whether these cases' labels may be read at all; those that have none are `IGNORE` throughout.
        cache: share of memory that they may take; with 0 every crop is read from disk.
        local: processes of this computer that hold as much, each for itself.
    """

    def __init__(
        self,
        cases: Sequence[StoredCase],
        *,
        labels: bool,
        device: torch.device,
        cache: float = CACHE,
        local: int = 1,
    ):
        self.cases, self.labels = cases, labels
        self.place = _where(sum(_bytes(c) for c in cases), device, cache, local)
        self.held: list[tuple[Tensor | None, Tensor | None]] = []
        if self.place is not None:
            self.held = [(self._hold(c.image), self._hold(self._label(c))) for c in cases]

    def __getitem__(self, number: int) -> tuple[Any, Any]:
        """Image (C, *shape) and label (*shape) or None, to be cut by slices."""
        if self.held:
            return self.held[number]
        case = self.cases[number]
        return case.image, self._label(case)

    def _label(self, case: StoredCase) -> Any:
        return case.label if self.labels and case.voxels else None

    def _hold(self, array: Any) -> Tensor | None:
        return None if array is None else torch.from_numpy(array[:]).to(self.place)


def _bytes(case: StoredCase) -> int:
    """At most; pictures take half, but to know it the file would have to be opened."""
    return int(np.prod(case.shape)) * (2 * len(case.channels) + 1)


def _where(size: int, device: torch.device, cache: float, local: int) -> torch.device | None:
    if device.type == "cuda" and size < cache * torch.cuda.mem_get_info(device)[0]:
        return device
    return torch.device("cpu") if size * local < cache * _memory() else None


def _memory() -> int:
    """Bytes of this machine, or of the container that this process is in."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(machine, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        return machine


@dataclass(frozen=True)
class Crops:
    """Crops as stored: (B, C, *crop) int16, labels (B, *crop) uint8 or None, and (B, C) to normalize by.

    Labels of whole images are as those of `Images`.

    ``start`` (B, 3) is the first voxel of each in its case.
    """

    image: Tensor
    label: Tensor | None
    slope: Tensor
    shift: Tensor
    case: Tensor
    start: Tensor

    def images(self, device: torch.device) -> Images:
        """On the device and normalized there."""
        put = lambda t: t.to(device, non_blocking=True)
        column = (*self.slope.shape, 1, 1, 1)
        image = put(self.image).float() * put(self.slope).view(column) + put(self.shift).view(column)
        label = None if self.label is None else put(self.label).long()
        place = torch.cat([torch.eye(3).expand(len(self.start), 3, 3), self.start[..., None]], -1).double()
        return Images(image, label, self.case, place)


class Loader:
    """Gives the batches of a training, the same for a given step whatever the number of threads.

    Args:
        labeled, unlabeled: where crops come from; a half that is None is empty, but not both.
        dims: 2 takes the single slice of each crop as a picture.
        threads: that read ahead; 0 reads when asked.
        ahead: batches kept ready.
        cache: see `Volumes`.
        local: processes of this computer that train together and share its memory.
    """

    def __init__(
        self,
        labeled: Stream | None,
        unlabeled: Stream | None,
        *,
        dims: int,
        device: torch.device,
        threads: int = 2,
        ahead: int = 4,
        cache: float = CACHE,
        local: int = 1,
    ):
        self.labeled, self.unlabeled, self.dims, self.device = labeled, unlabeled, dims, device
        self.threads, self.ahead = threads, ahead
        hold = functools.partial(Volumes, device=device, cache=cache, local=local)
        self.streams = [stream for stream in (labeled, unlabeled) if stream is not None]
        self.volumes = {stream: hold(stream.cases, labels=stream is labeled) for stream in self.streams}

    def epoch(self, step: int) -> int:
        """Passes over the smaller of the two streams."""
        return min(self.streams, key=lambda stream: len(stream.cases)).epoch(step)

    def batches(self, start: int, stop: int) -> Iterator[Batch]:
        """The batches of steps ``start`` to ``stop`` − 1, in order."""
        on_device = any(v.place is not None and v.place.type == "cuda" for v in self.volumes.values())
        if self.threads == 0 or on_device:  # cutting on the device is asynchronous already
            for step in range(start, stop):
                yield self._batch(self._read(step))
            return
        with ThreadPoolExecutor(self.threads, thread_name_prefix="loader") as pool:
            ready: deque = deque()
            try:
                for step in range(start, stop):
                    while len(ready) < self.ahead and step + len(ready) < stop:
                        ready.append(pool.submit(self._read, step + len(ready)))
                    yield self._batch(ready.popleft().result())
            finally:
                for future in ready:
                    future.cancel()

    def cases(self, step: int) -> list[str]:
        """The names of the cases in this process's part of a step's batch, for error messages."""
        return [s.cases[s.place(step, slot).case].name for s in self.streams for slot in s.slots]

    def _read(self, step: int) -> list[Crops]:
        return [self._crops(stream, step) for stream in self.streams]

    def _batch(self, crops: list[Crops]) -> Batch:
        given = [self._flat(each.images(self.device)) for each in crops]
        if len(given) == 2:
            return Batch(*given)
        (only,) = given
        none = only.with_(image=only.image[:0], label=None, case=only.case[:0], place=None)
        return Batch(none, only) if self.labeled is None else Batch(only, none)

    def _flat(self, images: Images) -> Images:
        if self.dims == 3:
            return images
        assert images.place is not None
        return images.with_(
            image=images.image.squeeze(2),
            label=images.label if images.label_map is None else images.label_map.squeeze(1),
            place=images.place[..., 1:],
        )

    def _crops(self, stream: Stream, step: int) -> Crops:
        volumes = self.volumes[stream]
        places = [stream.place(step, slot) for slot in stream.slots]
        cases = [stream.cases[p.case] for p in places]
        where = volumes.place or torch.device("cpu")
        pin = self.device.type == "cuda" and where.type == "cpu"
        empty = lambda *shape, dtype: torch.empty(shape, dtype=dtype, device=where, pin_memory=pin)
        image = empty(len(places), len(cases[0].channels), *stream.crop, dtype=torch.int16)
        whole = [case.target for case in cases] if volumes.labels and cases[0].target is not None else None
        label = empty(len(places), *stream.crop, dtype=torch.uint8) if volumes.labels and whole is None else None
        for slot, (place, case) in enumerate(zip(places, cases, strict=True)):
            voxels, classes = volumes[place.case]
            inner, outer = _overlap(place.start, stream.crop, case.shape)
            if any(s.stop - s.start < n for s, n in zip(inner, stream.crop, strict=True)):
                mean = np.rint(-case.shift / case.slope).clip(-32768, 32767)  # 0 once normalized
                image[slot] = torch.from_numpy(mean.astype(np.int16)).to(where).view(-1, 1, 1, 1)
                if label is not None:
                    label[slot] = IGNORE
            image[slot][(slice(None), *inner)] = torch.as_tensor(voxels[(slice(None), *outer)])
            if label is not None and classes is None:
                label[slot] = IGNORE
            elif label is not None:
                label[slot][inner] = torch.as_tensor(classes[outer])
                self._forget(stream, place.case, place.start, label[slot])
        numbers, starts = torch.tensor([p.case for p in places]), torch.tensor([p.start for p in places])
        rows = lambda name: torch.from_numpy(np.stack([getattr(c, name) for c in cases]))
        if whole is not None:
            label = torch.tensor(whole, dtype=torch.uint8)
            label = label[:, 0] if label.shape[1] == 1 else label
        return Crops(image, label, rows("slope"), rows("shift"), numbers, starts)

    @staticmethod
    def _forget(stream: Stream, number: int, start: tuple[int, ...], label: Tensor) -> None:
        """Slices that nobody annotated become unlabeled voxels."""
        if stream.slices is None or stream.sparse is None:
            return
        axis = stream.sparse.axis
        here = np.arange(start[axis], start[axis] + stream.crop[axis])
        unknown = torch.from_numpy(~np.isin(here, stream.slices[number])).to(label.device)
        label.movedim(axis, 0)[unknown] = IGNORE


def _overlap(
    start: Sequence[int], size: Sequence[int], shape: Sequence[int]
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """The part of a crop that lies inside the image, in the crop's and in the image's voxels."""
    inner, outer = [], []
    for s, c, n in zip(start, size, shape, strict=True):
        first, last = min(max(s, 0), n), max(min(s + c, n), 0)
        outer.append(slice(first, max(first, last)))
        inner.append(slice(first - s, max(first, last) - s))
    return tuple(inner), tuple(outer)
