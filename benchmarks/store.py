"""Random crops of 2×96³ normalized voxels: our store against nii.gz and against float32 blosc2, nnU-Net's way.

    python benchmarks/store.py [--rounds 15] [--crops 4] [--volumes 2]

Volumes are made-up brains of 240×240×200 (`halfmask.data.phantom`), moved by half a voxel so that they are no whole
numbers, as after resampling. All contestants give the same crops as normalized float32; files are in the page cache.

- nii.gz holds the values before normalization as scaled int16, its smallest form. A crop reads as far into the gzip
  stream as it lies.
- blosc2, zstd: what nnU-Net 2.6 stores, normalized float32, zstd at level 8, blocks for a 32 KiB L1 cache.
- blosc2, LZ4HC: the layout that newer forks of it have, level 5, byte shuffle, blocks of 128 KiB, chunks to 6 MiB.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import blosc2
import nibabel
import numpy as np
from turns import Row, arguments, by_turns, compare, finish

from halfmask.data.phantom import draw
from halfmask.data.preprocess import Frame, Prepared
from halfmask.data.stored_case import StoredCase, write_case
from halfmask.data.volume import Grid

SHAPE, CROP = (240, 240, 200), 96
WHAT = "a crop of 2×96³ from 240×240×200"
SIZE = "size of 2×240×240×200"

# What nnU-Net's rules for blocks and chunks give for this shape, two channels and a patch of 96³.
LAYOUTS = {
    "blosc2 float32, zstd": {
        "blocks": (2, 16, 16, 8),
        "chunks": (2, 80, 64, 32),
        "cparams": {"codec": blosc2.Codec.ZSTD, "clevel": 8, "nthreads": 1},
    },
    "blosc2 float32, LZ4HC": {
        "blocks": (1, 32, 32, 32),
        "chunks": (1, 128, 128, 96),
        "cparams": {"codec": blosc2.Codec.LZ4HC, "clevel": 5, "filters": [blosc2.Filter.SHUFFLE], "nthreads": 1},
    },
}

Read = Callable[[int, tuple[slice, ...]], np.ndarray]
"""The crop (2, 96, 96, 96) of one volume at three slices, normalized, float32."""


def brain(subject: int) -> Prepared:
    """A made-up case as preparation leaves it, not yet normalized."""
    phantom = draw(subject, shape=SHAPE)
    image = phantom.image.astype(np.float32)
    for axis in (1, 2, 3):
        image = 0.5 * (image + np.roll(image, 1, axis))
    seen = [channel[channel > 0] for channel in image]
    mean, sd = np.array([v.mean() for v in seen]), np.array([v.std() for v in seen])
    frame = Frame(Grid(SHAPE, np.eye(4)), "RAS", tuple((0, n) for n in SHAPE), SHAPE, None)
    return Prepared(image, phantom.label, mean, sd, frame)


def write(folder: Path, number: int, case: Prepared) -> None:
    """One case in all forms."""
    write_case(folder / f"case{number}", case, key="")
    for channel, image in enumerate(case.image):
        file = nibabel.Nifti1Image(image, np.eye(4))
        file.set_data_dtype(np.int16)
        nibabel.save(file, folder / f"{number}_{channel}.nii.gz")
    for name, layout in LAYOUTS.items():
        blosc2.asarray(case.normalized(), urlpath=str(folder / f"{number} {name}.b2nd"), mode="w", **layout)


def readers(folder: Path, cases: list[Prepared]) -> dict[str, Read]:
    stored = [StoredCase(folder / f"case{number}") for number in range(len(cases))]
    column = lambda values: np.asarray(values, np.float32).reshape(-1, 1, 1, 1)

    def ours(number: int, place: tuple[slice, ...]) -> np.ndarray:
        case = stored[number]
        return case.image[(slice(None), *place)].astype(np.float32) * column(case.slope) + column(case.shift)

    def nifti(number: int, place: tuple[slice, ...]) -> np.ndarray:
        files = [nibabel.load(folder / f"{number}_{channel}.nii.gz") for channel in (0, 1)]
        crop = np.stack([np.asarray(f.dataobj[place], np.float32) for f in files])
        return (crop - column(cases[number].mean)) / column(cases[number].sd)

    def float32(name: str) -> Read:
        # nnU-Net opens the file for each crop and maps it into memory.
        path = lambda number: str(folder / f"{number} {name}.b2nd")
        opened = lambda number: blosc2.open(path(number), mode="r", dparams={"nthreads": 1}, mmap_mode="r")
        return lambda number, place: opened(number)[(slice(None), *place)]

    return {"halfmask": ours, "nii.gz": nifti} | {name: float32(name) for name in LAYOUTS}


def sizes(folder: Path) -> dict[str, float]:
    """MB of one volume's image."""
    files = {"halfmask": [folder / "case0" / "image.b2nd"], "nii.gz": sorted(folder.glob("0_*.nii.gz"))}
    files |= {name: [folder / f"0 {name}.b2nd"] for name in LAYOUTS}
    return {name: sum(f.stat().st_size for f in paths) / 1e6 for name, paths in files.items()}


def main() -> None:
    given = arguments(__doc__, rounds=15, crops=4, volumes=2).parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        cases = [brain(subject) for subject in range(given.volumes)]
        for number, case in enumerate(cases):
            write(folder, number, case)
        read = readers(folder, cases)
        starts = [tuple(int(rng.integers(n - CROP)) for n in SHAPE) for _ in range(200)]
        places = [tuple(slice(s, s + CROP) for s in start) for start in starts]
        agree = agreement(read, cases, places[:6])
        turn = dict.fromkeys(read, 0)

        def some(name: str) -> None:
            """This contestant's next crops, the same for all."""
            for _ in range(given.crops):
                read[name](turn[name] % len(cases), places[turn[name] % len(places)])
                turn[name] += 1

        times = by_turns({name: lambda name=name: some(name) for name in read}, given.rounds)
        rows = compare(WHAT, times, "halfmask", unit="ms", agree=agree, per=given.crops)
        size = sizes(folder)
        rows += [Row(SIZE, rival, "MB", size["halfmask"], size[rival], "") for rival in agree]
    finish(rows, given.json)


def agreement(read: dict[str, Read], cases: list[Prepared], places: list[tuple[slice, ...]]) -> dict[str, str]:
    """How far each form is from the values before storing, in sd, against ours; refuses what is not stored right."""
    error = dict.fromkeys(read, 0.0)
    for number, place in enumerate(places):
        case = cases[number % len(cases)]
        true = case.normalized()[(slice(None), *place)]
        for name, reader in read.items():
            error[name] = max(error[name], float(np.abs(reader(number % len(cases), place) - true).max()))
    assert all(worst < 1e-3 for worst in error.values()), error
    ours = error.pop("halfmask")
    return {name: f"largest error {ours:.0e} sd here, {worst:.0e} there" for name, worst in error.items()}


if __name__ == "__main__":
    main()
