"""The look at all unlabeled images that some methods take before each epoch."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import torch

from halfmask.data.batch import Images
from halfmask.data.load import Loader
from halfmask.data.sample import Stream
from halfmask.data.store import Store
from halfmask.learning.clock import Clock
from halfmask.learning.method import Method
from halfmask.learning.processes import Processes
from halfmask.training.run import Run
from halfmask.training.seeds import mixed

SWEPT = {2: 1024, 3: 64}
"""Crops that a method is shown at most, by dims."""


class Sweep:
    """Calls `Method.sweep` before the first step of each epoch, which is a function of the step alone."""

    def __init__(
        self,
        method: Method,
        run: Run,
        store: Store,
        loader: Loader,
        processes: Processes,
        layout: torch.memory_format = torch.contiguous_format,
    ):
        self.method, self.run, self.plan, self.loader = method, run, store.plan, loader
        self.processes, self.layout = processes, layout
        self.wanted = type(method).sweep is not Method.sweep

    def due(self, step: int) -> bool:
        return self.wanted and self.loader.epoch(step) != self.loader.epoch(step - 1)

    def __call__(self, clock: Clock) -> None:
        """Show the method the images of an epoch, if it is due; all processes end with the same state."""
        if not self.due(clock.step):
            return
        torch.manual_seed(mixed(self.run.seed, clock.step, zlib.crc32(b"sweep")))
        put = lambda images: images.with_(image=images.image.contiguous(memory_format=self.layout))
        self.method.train()
        self.method.sweep(map(put, self.images(clock.epoch)))
        self.processes.spread([*self.method.parameters(), *self.method.buffers()])

    def images(self, epoch: int) -> Iterator[Images]:
        """Unlabeled images as they were cut, of each case once, in batches; the same for all processes.

        Where the cases are more than `SWEPT`, each epoch goes on with those that come next.
        """
        known = self.loader.unlabeled
        assert known is not None
        size, flat = self.run.recipe.unlabeled or 1, (1,) * (3 - self.plan.dims)
        count = -(-min(len(known.cases), SWEPT[self.plan.dims]) // size)
        stream = Stream(
            known.cases, patch=(*flat, *self.plan.patch), margin=(0, 0, 0), size=size, seed=self.run.seed,
            name="sweep", labeled=False,
        )  # fmt: skip
        own = Loader(None, stream, dims=self.plan.dims, device=self.loader.device, threads=0, cache=0)
        own.volumes = {stream: self.loader.volumes[known]}  # what is held already is not held twice
        return (batch.unlabeled for batch in own.batches(epoch * count, (epoch + 1) * count))
