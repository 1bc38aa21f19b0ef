"""What the loop costs: our step, from the store to the moved weights, against bare forward + backward + step.

    python benchmarks/step.py STORE [--network unet] [--set network.width=32] [--batch 2+2] [--rounds 20]

Both sides train the same network with the same optimizer on tensors of the same shape, turn by turn in one run, so
that a noisy machine slows both. Ours reads crops from the store, augments them, logs and checks for broken losses;
the bare side has one batch ready on the device. Prints the medians and their ratio.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from turns import compare, finish

from halfmask.data.store import Store
from halfmask.learning.clock import Clock
from halfmask.learning.recipe import Recipe
from halfmask.losses.segmentation import dice_ce
from halfmask.training.options import Options
from halfmask.training.run import describe
from halfmask.training.trainer import Trainer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--json", type=Path, help="write the comparison here, for run_all.py")
    parser.add_argument("--network", default="unet")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--labeled", type=int, default=2)
    parser.add_argument("--precision", default="bf16" if torch.cuda.is_available() else "32")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    store = Store(arguments.store)
    settings = dict(pair.split("=", 1) for pair in arguments.set)
    recipe = Recipe(labeled=arguments.labeled, steps=10**6)
    run = describe(
        store.plan, "supervised", settings=settings, network=arguments.network, recipe=recipe,
        precision=arguments.precision,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as out:
        trainer = Trainer(run, store, Path(out), Options())
    batches = trainer.loader.batches(0, 10**6)
    batch = trainer.augment.labeled(next(batches).labeled)
    image = batch.image.contiguous(memory_format=trainer.layout)
    student = trainer.method.student
    optimizer = trainer.minimize.optimizers["student"]

    def ours(step: int) -> None:
        trainer.take(next(batches), Clock(step, 10**6))

    def bare(step: int) -> None:
        with trainer.fabric.autocast():
            loss = dice_ce(student(image), batch.label)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    times: dict[str, list[float]] = {"ours": [], "bare": []}
    for step in range(arguments.rounds + 3):
        for name, side in (("ours", ours), ("bare", bare)):
            started = time.perf_counter()
            side(step)
            if trainer.device.type == "cuda":
                torch.cuda.synchronize()
            if step >= 3:  # the first ones compile and fill caches
                times[name].append(1000 * (time.perf_counter() - started))
    medians = {name: statistics.median(values) for name, values in times.items()}
    spread = {name: statistics.quantiles(values, n=4) for name, values in times.items()}
    for name, median in medians.items():
        print(f"{name:5} {median:8.1f} ms a step (quartiles {spread[name][0]:.1f}–{spread[name][2]:.1f})")
    shape = "×".join(map(str, image.shape))
    print(f"ratio {medians['ours'] / medians['bare']:.3f}  ({arguments.network}, {shape}, {trainer.device}, "
          f"{arguments.precision}, {torch.get_num_threads()} threads)")  # fmt: skip
    if arguments.json is not None:
        what = f"a supervised training step, {arguments.network}, {shape}"
        bare_name, agree = "forward + backward + step alone", {"forward + backward + step alone": ""}
        finish(compare(what, {"ours": times["ours"], bare_name: times["bare"]}, "ours", unit="ms", agree=agree),
               arguments.json)  # fmt: skip
    if trainer.device.type == "cuda":
        print(f"peak memory {torch.cuda.max_memory_allocated() / 2**30:.2f} GiB")


if __name__ == "__main__":
    main()
