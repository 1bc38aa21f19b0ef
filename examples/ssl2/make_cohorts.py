"""Two made-up cohorts as in SSL²: many brains of 3T without labels, few of 7T, some with.

    python examples/ssl2/make_cohorts.py [--out cohorts] [--many 60] [--few 40] [--labeled 14] [--test 12]

Both have T1 and FLAIR, skull-stripped; the only label is the lesions, whose number, size and place follow those of
people. No subject is in both. ``--shape 178 200 178`` gives the 0.9 mm of the paper, for a GPU.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from halfmask.data.phantom import make_phantoms


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("cohorts"))
    parser.add_argument("--many", type=int, default=60, help="subjects of 3T")
    parser.add_argument(
        "--few", type=int, default=40, help="subjects of 7T, those with labels and the sealed among them"
    )
    parser.add_argument("--labeled", type=int, default=14, help="of 7T, to train and validate with")
    parser.add_argument("--test", type=int, default=12, help="of 7T, sealed")
    parser.add_argument("--shape", type=int, nargs=3, default=(96, 108, 96), help="voxels; the view is 160×180×160 mm")
    parser.add_argument("--seed", type=int, default=0)
    to = parser.parse_args()
    shared = {"shape": to.shape, "structures": ["lesion"]}
    many = make_phantoms(to.out / "3T", subjects=to.many, labeled=0, test=0, seed=2 * to.seed, scanners=["3T"],
                         name="3T", **shared)  # fmt: skip
    few = make_phantoms(to.out / "7T", subjects=to.few, labeled=to.labeled, test=to.test, seed=2 * to.seed + 1,
                        scanners=["7T"], name="7T", **shared)  # fmt: skip
    print(f"{to.many} brains of 3T in {many}, {to.few} of 7T in {few}; they show nobody and model no disease.")


if __name__ == "__main__":
    main()
