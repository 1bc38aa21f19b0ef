"""Memory and time of `prepare` and `train` as a cohort grows: made-up volumes, few and many, side by side in one run.

    python benchmarks/cohort.py [--few 200] [--many 2000] [--shape 64 64 48] [--steps 100]

One case in twenty has a label. Memory is the peak of the largest process of each verb, workers included. `train` is
run twice: with `--cache 0`, where each crop is read from the store, and as it is, where volumes that fit are held.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel
import numpy as np


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--few", type=int, default=200)
    parser.add_argument("--many", type=int, default=2000)
    parser.add_argument("--shape", type=int, nargs=3, default=(64, 64, 48))
    parser.add_argument("--steps", type=int, default=100)
    arguments = parser.parse_args()
    print("| cases | prepare | | train --cache 0 | | train | |\n|---|---|---|---|---|---|---|")
    for count in (arguments.few, arguments.many):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            make_cohort(root / "data", count, arguments.shape)
            train = ["train", "mean_teacher", str(root / "store"), "--steps", str(arguments.steps), "--batch", "2+2",
                     "--set", "network.width=4", "--validations", "0"]  # fmt: skip
            figures = [
                measured("prepare", str(root / "data"), "--out", str(root / "store")),
                measured(*train, "--cache", "0", "--out", str(root / "read")),
                measured(*train, "--out", str(root / "held")),
            ]
        print(f"| {count} | " + " | ".join(f"{mib:.0f} MiB | {seconds:.0f} s" for mib, seconds in figures) + " |")


def make_cohort(root: Path, count: int, shape: tuple[int, int, int]) -> None:
    """A bright egg in noise, somewhere else in each case, in the Decathlon layout."""
    rng = np.random.default_rng(0)
    place = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"))
    cases = []
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir(parents=True)
    for number in range(count):
        center, radius = rng.uniform(0.3, 0.7, 3) * shape, rng.uniform(5, 12)
        egg = ((place - center.reshape(3, 1, 1, 1)) ** 2).sum(0) < radius**2
        image = (rng.normal(100, 20, shape) + 80 * egg).astype(np.int16)
        files = {"image": image} | ({"label": egg.astype(np.uint8)} if number % 20 == 0 else {})
        cases.append({kind: f"./{kind}sTr/case_{number:05}.nii" for kind in files})
        for kind, array in files.items():
            nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), root / cases[-1][kind])
    about = {"modality": {"0": "MRI"}, "labels": {"0": "background", "1": "egg"}, "training": cases}
    (root / "dataset.json").write_text(json.dumps(about))


def measured(*words: str) -> tuple[float, float]:
    """MiB of the largest process and seconds of one verb."""
    begun = time.monotonic()
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen([sys.executable, "-m", "halfmask", *words], stdout=told, stderr=told)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            told.seek(0)
            sys.exit(told.read().decode())
    return usage.ru_maxrss / 1024, time.monotonic() - begun


if __name__ == "__main__":
    main()
