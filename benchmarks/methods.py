"""What a step of each method costs, against a supervised step on as many images, all of them labeled.

    python benchmarks/methods.py STORE [--network unet] [--set network.width=16] [--batch 2+2] [--only fixmatch,mixup]

All methods train in turns in one run, step by step, so that a noisy machine slows all alike. Steps are those of a
training half done, so that ramps and stages have begun. Prints medians and their ratios to the supervised step.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from halfmask import methods
from halfmask.data.batch import Batch
from halfmask.data.store import Store
from halfmask.learning.clock import Clock
from halfmask.learning.recipe import Recipe
from halfmask.training.options import Options
from halfmask.training.run import describe
from halfmask.training.trainer import Trainer

HALF, STEPS = 500_000, 10**6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--network", default="unet")
    parser.add_argument("--set", action="append", default=[], metavar="network.NAME=VALUE")
    parser.add_argument("--batch", default="2+2")
    parser.add_argument("--only", help="method,method,…")
    parser.add_argument("--precision", default="bf16" if torch.cuda.is_available() else "32")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)

    store, names = Store(given.store), given.only.split(",") if given.only else sorted(methods.names())
    labeled, unlabeled = map(int, given.batch.split("+"))
    rivals = {"supervised": (labeled + unlabeled, 0)}
    rivals |= {name: (labeled, unlabeled) for name in names if name != "supervised"}
    running = {name: _running(store, name, *size, given) for name, size in rivals.items()}

    times: dict[str, list[float]] = {name: [] for name in running}
    for turn in range(given.rounds + 3):
        for name, steps in running.items():
            started = time.perf_counter()
            next(steps)
            if turn >= 3:  # the first ones compile and fill caches
                times[name].append(1000 * (time.perf_counter() - started))
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, median in sorted(medians.items(), key=lambda pair: pair[1]):
        low, _, high = statistics.quantiles(times[name], n=4)
        ratio = median / medians["supervised"]
        print(f"{name:32} {median:8.1f} ms a step (quartiles {low:.1f}–{high:.1f})  {ratio:5.2f}")
    print(f"{given.network}, {store.plan.patch}, {given.batch}, {given.precision}, {torch.get_num_threads()} threads")


def _running(store: Store, name: str, labeled: int, unlabeled: int, given: Any) -> Iterator[None]:
    """Trains a method, a step for each item."""
    settings = dict(pair.split("=", 1) for pair in given.set)
    recipe = Recipe(labeled=labeled, unlabeled=unlabeled, steps=STEPS)
    run = describe(store.plan, name, settings=settings, network=given.network, recipe=recipe, precision=given.precision)
    with tempfile.TemporaryDirectory() as out:
        trainer = Trainer(run, store, Path(out), Options(threads=0))
    batch: Batch
    for step, batch in enumerate(trainer.loader.batches(0, STEPS)):
        trainer.take(batch, Clock(HALF + step, STEPS))
        if trainer.device.type == "cuda":
            torch.cuda.synchronize()
        yield


if __name__ == "__main__":
    main()
