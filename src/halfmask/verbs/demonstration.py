"""The whole way, on a made-up cohort."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from halfmask.verbs.arguments import Doc
from halfmask.verbs.dataset import check, prepare
from halfmask.verbs.results import evaluate, predict, report
from halfmask.verbs.training import train

if TYPE_CHECKING:
    import pandas as pd


def demo(
    *,
    out: Annotated[Path, Doc("Where the cohort, the store, the runs and the tables go.")] = Path("halfmask-demo"),
    subjects: Annotated[int, Doc("Of the made-up cohort; 6 are sealed for testing, 4 may have labels.")] = 24,
    labels: Annotated[int, Doc("Labeled cases to train with.")] = 2,
    steps: Annotated[int, Doc("Of each training.")] = 450,
    seeds: Annotated[int, Doc("Draws of labels and weights, each trained both ways.")] = 2,
    method: Annotated[str, Doc("The semi-supervised method to set against supervised training.")] = "fixmatch",
) -> pd.DataFrame:
    """Go the whole way on a made-up cohort: supervised against semi-supervised, in minutes on a CPU."""
    import itertools
    import shlex

    import pandas as pd

    from halfmask.data.phantom import make_phantoms

    def told(verb: Any, *arguments: object, **options: Any) -> Any:
        """Call a verb, and print it as it could be typed."""
        words = [verb.__name__]
        for argument in arguments:
            words += map(str, argument) if isinstance(argument, list) else [str(argument)]
        for name, value in options.items():
            for each in value if isinstance(value, list) else [value]:
                words += [f"--{name}"] if each is True else [f"--{name}", str(each)]
        print(f"\n$ halfmask {shlex.join(words)}", flush=True)
        return verb(*arguments, **options)

    if subjects < 11:
        raise ValueError(f"--subjects is at least 11: 6 to test, 4 with labels and 1 without; got {subjects}")
    data, store = out / "cohort", out / "store"
    print(f"Making {subjects} brains with lesions in {data}; they show nobody and model no disease.", flush=True)
    make_phantoms(data, subjects=subjects, labeled=4, test=6)
    told(check, data)
    told(prepare, data, out=store, dims=2)
    rows: dict[str, list[pd.Series]] = {"supervised": [], method: []}
    for seed, name in itertools.product(range(seeds), rows):
        run = out / f"{name}-{seed}"
        going_on = {"resume": True} if (run / "run.yaml").exists() else {}
        told(train, name, store, out=run, labels=str(labels), seed=seed, steps=steps, batch="6+6", optimizer="adamw",
             rate=5e-3, set=["network.width=16"], validations=2, **going_on)  # fmt: skip
        told(predict, run, split="test")
        rows[name].append(told(evaluate, run / "masks", data).groupby("case")["dice"].mean())
    told(report, [out / f"{name}-{seed}" for name in rows for seed in range(seeds)], out=out / "report.html")
    print(f"\nMade-up brains, {steps} steps, draws of labels: {seeds}; a demonstration, not evidence.")
    print("For your own data: halfmask check DATA")
    return pd.DataFrame({name: pd.concat(draws, axis=1).mean(axis=1) for name, draws in rows.items()})
