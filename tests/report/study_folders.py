"""Study folders as the verb leaves them, made by hand."""

import json
import zlib

import numpy as np
import pandas as pd
import yaml

BUDGETS = {"3 labels": 3, "6 labels": 6, "12 labels": 12}
RESULT = {
    "seconds": 60.0, "steps": 10, "device": "cpu", "threads": 1, "processes": 1, "labeled": ["train0"],
    "unlabeled": 5, "made_with": {"halfmask": "0.1.0", "python": "3.11", "torch": "2.13.0", "system": "Linux",
                                  "processor": "made up", "cores": 2},
}  # fmt: skip


def study_folder(folder, means, *, budgets=BUDGETS, seeds=(0, 1), patients=8, slices=1.0, states=None, cases=2, **told):
    """A study whose arm ``a`` has the mean Dice ``means[a][k]`` at budget k, by and large.

    Args:
        means: by arm, a figure a budget; None for a cell that has no finished run.
        cases: of each patient.
        states: what became of the runs without a figure, by arm: ``("failed", "out of memory")``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows, runs = [], []
    for arm, figures in means.items():
        for (budget, labels), mean in zip(budgets.items(), figures, strict=True):
            for seed in seeds:
                state, error = ("done", None) if mean is not None else (states or {}).get(arm, ("waiting", None))
                name = f"{arm}-{budget.split()[0]}-{seed}".replace(" ", "_")
                run = {
                    "name": name, "arm": arm, "budget": budget, "method": arm, "network": "unet", "pretraining": "none",
                    "labels": str(labels), "slices": slices, "fold": 0, "draw": seed, "seed": seed, "state": state,
                    "error": error, "seconds": 60.0 if mean is not None else None,
                }  # fmt: skip
                runs.append(run)
                if mean is not None:
                    rows += _rows(run, labels, mean, patients, cases)
                    _run(folder / "runs" / run["name"], run)
    manifest = {
        "format": 1, "name": "made up", "question": "Does it help?", "smoke": False, "baseline": next(iter(means)),
        "arms": list(means), "budgets": list(budgets), "measured_on": "test", "checkpoint": "last",
        "study": {"name": "made up", "methods": dict.fromkeys(means), "recipe": {"steps": 10}},
        "git": {"commit": "0123456789abcdef", "changed": False}, "reported": None, "runs": runs, **told,
    }  # fmt: skip
    (folder / "study.json").write_text(json.dumps(manifest))
    if rows:
        pd.DataFrame(rows).to_csv(folder / "results.csv", index=False, na_rep="nan")
    return folder


def _rows(run, labels, mean, patients, cases):
    """Patients differ the same way in all runs; runs and cases differ a little."""
    rng = np.random.default_rng(zlib.crc32(run["name"].encode()))
    easy = np.linspace(-0.05, 0.05, patients)
    shared = {key: value for key, value in run.items() if key not in ("name", "labels", "state", "error", "seconds")}
    return [
        {**shared, "labels": labels, "run": run["name"], "case": f"p{p}c{c}", "group": f"p{p}", "structure": s,
         "dice": round(mean + easy[p] + rng.normal(0, 0.01), 4), "hd95": round(20 * (1 - mean) + rng.normal(), 3)}
        for p in range(patients) for c in range(cases) for s in ("core", "rim")
    ]  # fmt: skip


def _run(folder, run):
    folder.mkdir(parents=True)
    (folder / "run.yaml").write_text(yaml.safe_dump({"method": run["method"], "seed": run["seed"]}))
    (folder / "result.json").write_text(json.dumps(RESULT))
    lines = [{"step": n, "kind": "train", "supervised": 1 / (n + 1)} for n in range(10)]
    (folder / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
