"""From a store to weights that trainings start from."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

from halfmask.verbs.arguments import (
    Cache,
    Clip,
    Compile,
    Device,
    Devices,
    Doc,
    Init,
    Momentum,
    Network,
    Optimizer,
    Precision,
    Rate,
    Resume,
    SaveSeconds,
    Schedule,
    Settings,
    Steps,
    Threads,
    WeightDecay,
    in_range,
    require,
    settings,
)


def pretrain(
    method: Annotated[str, Doc("See `halfmask methods`, those of the family pretraining.")],
    store: Annotated[Path, Doc("What `halfmask prepare` made; no labels of it are learned from.")],
    /,
    *,
    out: Annotated[Path, Doc("The run's folder, for `halfmask train … --init`.")],
    fold: Annotated[int, Doc("Whose cases are left out, as in the training that is to start from it.")] = 0,
    seed: Annotated[int, Doc("Of the first weights and all that is drawn.")] = 0,
    steps: Steps = None,
    network: Network = None,
    batch: Annotated[int | None, Doc("Images a step and device.")] = None,
    optimizer: Optimizer = None,
    rate: Rate = None,
    momentum: Momentum = None,
    weight_decay: WeightDecay = None,
    schedule: Schedule = None,
    clip: Clip = None,
    set: Settings = None,
    init: Init = None,
    resume: Resume = False,
    precision: Precision = "auto",
    device: Device = "auto",
    devices: Devices = None,
    compile: Compile = None,
    validations: Annotated[int, Doc("How often to measure on held-out images, if the method holds some out.")] = 10,
    save_seconds: SaveSeconds = 120.0,
    threads: Threads = 2,
    cache: Cache = 0.3,
) -> dict[str, Any]:
    """Train an encoder on images alone; stops cleanly on Ctrl-C and goes on with --resume."""
    from halfmask import methods
    from halfmask.data.store import Store
    from halfmask.learning.method import Pretrainer
    from halfmask.learning.recipe import Recipe
    from halfmask.report.commands import setting_words
    from halfmask.training import launch
    from halfmask.training.device import check_devices, precision_of
    from halfmask.training.options import Options
    from halfmask.training.pretrained import named
    from halfmask.training.run import describe
    from halfmask.training.start import start

    require(
        *in_range(
            seed=seed, steps=steps, batch=batch, rate=rate, momentum=momentum, weight_decay=weight_decay, clip=clip,
            validations=validations, save_seconds=save_seconds, threads=threads, cache=cache, devices=devices,
        )
    )  # fmt: skip
    if not issubclass(methods.find(method), Pretrainer):
        raise ValueError(f"{method!r} makes masks, no encoder to start from: give `halfmask train {method} {store}`")
    here = launch.surroundings()
    processes = launch.joint_size(devices, here)
    check_devices(device, here.local if here else processes)
    opened = Store(store)
    run = describe(
        opened.plan,
        method,
        settings=settings(set),
        network=network,
        recipe=Recipe(optimizer, rate, momentum, weight_decay, schedule, clip, steps, unlabeled=batch),
        fold=fold,
        seed=seed,
        precision=precision_of(precision, device),
        init=None if init is None else named(init),
        processes=processes,
    )
    if processes > 1 and here is None:
        raise launch.SeveralProcesses(processes)
    result = start(run, opened, out, Options(device, compile, threads, validations, save_seconds, cache), resume=resume)
    if here is None or here.rank == 0:
        print(f"{out}: {result['steps']} steps of {method} in {result['seconds']:.0f} s on {result['unlabeled']} cases")
        planned = opened.plan.network_settings if run.network == opened.plan.network else {}
        words = [] if run.network == opened.plan.network else ["--network", run.network]
        own = {f"network.{k}": v for k, v in run.network_settings.items() if (k, v) not in planned.items()}
        asked = shlex.join(["--init", str(out), "--fold", str(fold), *words, *setting_words(own)])
        print(f"train from it: halfmask train METHOD {shlex.quote(str(store))} {asked} --out RUN")
    return result
