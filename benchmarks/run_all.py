"""All benchmarks with a rival, one after the other, and docs/benchmarks.md from what they found.

    python benchmarks/run_all.py [--out docs/benchmarks.md]

Some minutes on two cores. Each benchmark is a process of its own and one thread, but for the loader's. If one fails,
the page is left as it was. `cohort.py`, which has no rival, is not among them.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from turns import Row, table

from halfmask.data.atomic import write_text
from halfmask.data.phantom import make_phantoms

HERE = Path(__file__).resolve().parent

SCRIPTS = {
    "Store": ["store.py"],
    "Loader": ["loader.py"],
    "Augmentation": ["augment.py", "--rounds", "15"],
    "Sliding window": ["sliding_window.py"],
    "Metrics": ["metrics.py", "--rounds", "3"],
    "Whole training step": ["step.py", "STORE", "--set", "network.width=8", "--threads", "1", "--rounds", "10"],
}
"""Heading → command; STORE is a store of made-up brains of 64×72×64, made on the spot."""

STITCHING = "the same traffic in memory: both cut, weigh, add and divide; gains come from predicting fewer windows only"

REASONS = {
    "a crop of 2×96³ from 240×240×200 / blosc2 float32, LZ4HC": "as fast from the page cache: larger blocks, and "
    "nothing to normalize (which training leaves to the device); but it takes more of the disk and of that cache",
    "size of 2×240×240×200 / nii.gz": "gzip packs the same integers smaller, but cannot be read in the middle",
    "one convolution, 3 classes, 96×128×128 / MONAI": STITCHING,
    "one convolution, 14 classes, 96×128×128 / MONAI": STITCHING,
    "one convolution of 1³, 3 classes, 90×120×109 / MONAI": STITCHING,
    "U-Net of width 4, 3 classes, 96×128×128 / MONAI": "the network takes nearly all of the time, on both sides alike",
    "a supervised training step, unet, 2×2×64×80×64 / forward + backward + step alone": "the other side neither loads, "
    "augments, logs nor checks: 1.00 is the best there is",
}
"""\"what / rival\" → why we are not ahead there. Written after measuring, shown where the ratio is below `AHEAD`."""

VERSIONS = ("halfmask", "torch", "numpy", "scipy", "monai", "blosc2", "nibabel", "batchgeneratorsv2", "medpy")


@dataclass(frozen=True)
class Outcome:
    command: str
    rows: list[Row]
    missing: list[str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE.parent / "docs" / "benchmarks.md")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    outcomes, failed = {}, []
    with tempfile.TemporaryDirectory() as temporary:
        store = make_store(Path(temporary))
        for heading, words in SCRIPTS.items():
            print(f"\n{heading}", flush=True)
            outcome = run(words, store, Path(temporary) / "rows.json")
            if outcome is None:
                failed.append(words[0])
            else:
                outcomes[heading] = outcome
    if failed:
        sys.exit(f"{', '.join(failed)} failed, see above; {given.out} is left as it was")
    write_text(given.out, page(outcomes, load))
    unexplained = [key(r) for o in outcomes.values() for r in o.rows if r.behind and key(r) not in REASONS]
    print(f"\n{given.out}" + "".join(f"\nnot ahead, and no reason given: {name}" for name in unexplained))


def make_store(folder: Path) -> Path:
    make_phantoms(folder / "data", subjects=12, labeled=8, test=2)
    prepare = ["prepare", str(folder / "data"), "--out", str(folder / "store")]
    subprocess.run([sys.executable, "-m", "halfmask", *prepare], check=True, stdout=subprocess.DEVNULL)
    return folder / "store"


def run(words: list[str], store: Path, file: Path) -> Outcome | None:
    """One benchmark; None if it failed."""
    arguments = [str(store) if word == "STORE" else word for word in words[1:]]
    call = [sys.executable, str(HERE / words[0]), *arguments, "--json", str(file)]
    environment = {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore::FutureWarning", **os.environ}
    if subprocess.run(call, env=environment).returncode:
        return None
    found: dict[str, Any] = json.loads(file.read_text())
    rows = [Row(**row) for row in found["rows"]]
    return Outcome(shlex.join(["python", f"benchmarks/{words[0]}", *words[1:]]), rows, found["missing"])


def key(row: Row) -> str:
    return f"{row.what} / {row.rival}"


def page(outcomes: dict[str, Outcome], load: float) -> str:
    rows = [row for outcome in outcomes.values() for row in outcome.rows]
    ahead = sum(not row.behind for row in rows)
    parts = [
        "# Benchmarks",
        "Made by `python benchmarks/run_all.py`; each part by the command under its heading. Both sides take turns in "
        "one run, so that a busy machine slows both; figures are medians over the turns, and the ratio is how many "
        "times more the rival needs (in brackets the quartiles over the turns). Ratios carry over to other machines "
        f"better than times do. We are ahead in {ahead} of {len(rows)} rows; below 1.05× it does not count as ahead.",
        f"{datetime.date.today().isoformat()}; {os.cpu_count()} cores, {cpu()}, load {load:.1f} before the start; "
        f"Python {platform.python_version()}, {', '.join(versions())}.",
    ]
    for heading, outcome in outcomes.items():
        parts += [f"## {heading}", f"`{outcome.command}`", table(outcome.rows, REASONS)]
        parts += [f"{name} is not installed here, so it was not measured." for name in outcome.missing]
    return "\n\n".join(parts) + "\n"


def cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):  # not Linux, or a processor that does not say
        return platform.processor() or platform.machine()


def versions() -> list[str]:
    """Name and version of what is installed."""
    found = []
    for name in VERSIONS:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"no {name}")
    return found


if __name__ == "__main__":
    main()
