"""What the runs of a study on made-up brains are worth on real ones.

    python examples/ssl2/real_cases.py runs/ssl2 CASES [--out runs/ssl2-real] [--best 1]

CASES holds ``CASE_T1.nii.gz``, ``CASE_FLAIR.nii.gz`` and ``CASE_lesions.nii.gz``, skull-stripped, on one grid, lesions
1. Of each row of the study the best runs by Dice of its sealed phantoms predict them, and are measured. The real cases
choose nothing: the best of several rows on a few of them would be luck.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import pandas as pd


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="the finished study's folder")
    parser.add_argument("cases", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/ssl2-real"))
    parser.add_argument("--best", type=int, default=1, help="runs of each row")
    arguments = parser.parse_args()
    table = write_table(arguments.cases, arguments.out / "cases.csv")
    figures = pd.read_csv(arguments.study / "results.csv")
    figures = figures[figures["structure"] == "lesion"]
    phantoms = figures.groupby(["arm", "budget", "run"], sort=False)["dice"].mean().reset_index()
    best = phantoms.sort_values("dice", ascending=False).groupby(["arm", "budget"], sort=False).head(arguments.best)
    rows = []
    for arm, budget, run, dice in best.sort_index().itertuples(index=False):
        masks = arguments.out / run
        halfmask("predict", arguments.study / "runs" / run, table, "--out", masks)
        halfmask("evaluate", masks, table)
        real = pd.read_csv(masks / "metrics.csv").set_index("case")["dice"]
        rows.append({"row": arm, "labels": budget, "phantoms": dice, "real": real.mean(), **real})
    told = pd.DataFrame(rows).round(3)
    told.to_csv(arguments.out / "real.csv", index=False)
    print(told.to_string(index=False))


def write_table(cases: Path, table: Path) -> Path:
    """The cases as a table that `halfmask` reads."""
    lesions = sorted(cases.glob("*_lesions.nii.gz"))
    if not lesions:
        raise SystemExit(f"{cases} has no CASE_lesions.nii.gz")
    rows = []
    for label in lesions:
        case = label.name.removesuffix("_lesions.nii.gz")
        images = {f"image_{channel}": cases / f"{case}_{channel}.nii.gz" for channel in ("T1", "FLAIR")}
        if missing := [str(path) for path in images.values() if not path.exists()]:
            raise SystemExit(f"case {case!r} has no {', '.join(missing)}")
        rows.append({"case": case, **{key: path.resolve() for key, path in images.items()}, "label": label.resolve()})
    table.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(table, index=False)
    return table


def halfmask(*words: object) -> None:
    print("$ halfmask", *words, flush=True)
    subprocess.run([sys.executable, "-m", "halfmask", *map(str, words)], check=True)


if __name__ == "__main__":
    main()
