"""Batches of 4 crops of 2×96³ with labels: our threads against a torch DataLoader with as many worker processes.

    python benchmarks/loader.py [--workers 2] [--batches 16] [--rounds 11]

All read the same crops of the same store, drawn by the same `Stream`, and give the same normalized batches, which is
checked. They come from disk (``cache=0``), or from volumes held in memory, where workers have them by forking. One
turn is a pass over some batches from its first request on; workers are started before the clock (persistent). "int16"
sends stored integers through shared memory and normalizes them in the main process, as ours does, at half the traffic
of the usual float32.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from turns import Row, arguments, by_turns, compare, finish

from halfmask.data.batch import Images
from halfmask.data.load import CACHE, Loader, Volumes
from halfmask.data.phantom import draw
from halfmask.data.preprocess import Frame, Prepared
from halfmask.data.sample import Stream
from halfmask.data.stored_case import StoredCase, write_case
from halfmask.data.volume import Grid

SHAPE, PATCH, SIZE, CASES = (144, 160, 144), (96, 96, 96), 4, 4
WHAT = "a batch of 4 crops of 2×96³"
CPU = torch.device("cpu")


def make_cases(folder: Path) -> list[StoredCase]:
    """Made-up brains, stored."""
    for subject in range(CASES):
        phantom = draw(subject, shape=SHAPE)
        frame = Frame(Grid(SHAPE, np.eye(4)), "RAS", tuple((0, n) for n in SHAPE), SHAPE, None)
        mean, sd = (np.array([f(c[c > 0]) for c in phantom.image]) for f in (np.mean, np.std))
        write_case(folder / str(subject), Prepared(phantom.image, phantom.label, mean, sd, frame), key="")
    return [StoredCase(folder / str(subject)) for subject in range(CASES)]


class Crops(Dataset):
    """One crop an item, as a worker process reads it: image (C, *patch), label (*patch), slope and shift (C,).

    Crops without margins from cases larger than the patch lie inside the image, so nothing is padded.
    """

    def __init__(self, stream: Stream, volumes: Volumes, batches: int, *, normalize: bool):
        self.stream, self.volumes, self.batches, self.normalize = stream, volumes, batches, normalize

    def __len__(self) -> int:
        return SIZE * self.batches

    def __getitem__(self, item: int) -> tuple[Tensor, ...]:
        place = self.stream.place(*divmod(item, SIZE))
        case = self.stream.cases[place.case]
        box = tuple(slice(s, s + p) for s, p in zip(place.start, PATCH, strict=True))
        image, label = self.volumes[place.case]
        image, label = torch.as_tensor(image[(slice(None), *box)]), torch.as_tensor(label[box])
        slope, shift = torch.from_numpy(case.slope), torch.from_numpy(case.shift)
        return (_normalized(image, slope, shift) if self.normalize else image), label, slope, shift


def _normalized(image: Tensor, slope: Tensor, shift: Tensor) -> Tensor:
    column = (*slope.shape, 1, 1, 1)
    return image.float() * slope.view(column) + shift.view(column)


def ours(loader: Loader, batches: int) -> Iterator[Images]:
    for batch in loader.batches(0, batches):
        yield batch.labeled


def theirs(loader: DataLoader, normalize: bool) -> Iterator[Images]:
    for image, label, slope, shift in loader:
        yield Images(_normalized(image, slope, shift) if normalize else image, label.long(), slope)


def race(where: str, stream: Stream, given: argparse.Namespace, *, cache: float) -> list[Row]:
    """Ours against both DataLoaders."""
    loader = Loader(stream, None, dims=3, device=CPU, threads=given.workers, cache=cache)
    crops = partial(Crops, stream, loader.volumes[stream], given.batches)
    workers = partial(DataLoader, batch_size=SIZE, num_workers=given.workers, persistent_workers=True)
    float32, int16 = workers(crops(normalize=True)), workers(crops(normalize=False))
    passes: dict[str, Callable[[], Iterator[Images]]] = {
        "halfmask": lambda: ours(loader, given.batches),
        "DataLoader, float32": lambda: theirs(float32, normalize=False),
        "DataLoader, int16": lambda: theirs(int16, normalize=True),
    }
    for batches in zip(*(start() for start in passes.values()), strict=True):
        for batch in batches[1:]:
            assert torch.equal(batch.label, batches[0].label)
            torch.testing.assert_close(batch.image, batches[0].image)
    drained = {name: lambda start=start: [None for _ in start()] for name, start in passes.items()}
    times = by_turns(drained, given.rounds)
    agree = dict.fromkeys(("DataLoader, float32", "DataLoader, int16"), "batches equal")
    return compare(f"{WHAT}, {where}", times, "halfmask", unit="ms", agree=agree, per=given.batches)


def main() -> None:
    given = arguments(__doc__, workers=2, batches=16, rounds=11).parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        cases = make_cases(Path(temporary))
        stream = Stream(cases, patch=PATCH, margin=(0, 0, 0), size=SIZE, seed=0, name="labeled", labeled=True)
        rows = race("from disk", stream, given, cache=0) + race("held in memory", stream, given, cache=CACHE)
    finish(rows, given.json)


if __name__ == "__main__":
    main()
