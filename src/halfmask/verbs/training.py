"""From a store to a trained run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    budget,
    halves,
    in_range,
    names,
    require,
    settings,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from halfmask.data.store import Store
    from halfmask.learning.recipe import Recipe
    from halfmask.training.run import Run


BESTS = {
    "best_validation_dice": "Dice", "best_validation_auc": "AUC", "best_validation_log_loss": "log loss",
}  # fmt: skip
"""What result.json may say of the best grade in validation."""


def train(
    method: Annotated[str, Doc("See `halfmask methods`. auto is the one to try first, or with --search the best.")],
    store: Annotated[Path, Doc("What `halfmask prepare` made.")],
    /,
    *,
    out: Annotated[Path, Doc("The run's folder: checkpoints, journal, settings.")],
    search: Annotated[bool, Doc("With auto: compare methods within the labeled cases, then train the best.")] = False,
    candidates: Annotated[
        str | None, Doc("With --search: the methods to compare, as supervised,fixmatch; SSL²'s and auto's by default.")
    ] = None,
    labels: Annotated[
        str | None, Doc("Labeled cases (patients, if grouped) to use: a count, or a share as 0.1 or 10%.")
    ] = None,
    slices: Annotated[float, Doc("Share of slices of each labeled case that keep their labels.")] = 1.0,
    slice_axis: Annotated[int, Doc("The prepared axis (0–2) across which slices lie.")] = 0,
    fold: Annotated[int, Doc("Whose cases validate.")] = 0,
    seed: Annotated[int, Doc("Of the first weights and all that is drawn.")] = 0,
    draw: Annotated[int | None, Doc("Which draw of labeled cases and slices; the seed's own unless given.")] = None,
    source: Annotated[
        str | None, Doc("To adapt: the domains (scanners, sites) whose labels are read; all but --target unless given.")
    ] = None,
    target: Annotated[
        str | None,
        Doc("To adapt: the domains whose images are learned from, without labels; all but --source unless given."),
    ] = None,
    steps: Steps = None,
    network: Network = None,
    batch: Annotated[
        str | None, Doc("Labeled and unlabeled images a step and device, as 2+2; a count where no label is read.")
    ] = None,
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
    validations: Annotated[int, Doc("How often to validate during the run; 0 never.")] = 10,
    save_seconds: SaveSeconds = 120.0,
    threads: Threads = 2,
    cache: Cache = 0.3,
) -> dict[str, Any]:
    """Train a method on a store; stops cleanly on Ctrl-C and goes on with --resume."""
    from halfmask.data.store import Store
    from halfmask.learning.method import Clusterer
    from halfmask.learning.recipe import Recipe
    from halfmask.methods import RECOMMENDED, find
    from halfmask.progress import say
    from halfmask.training import launch
    from halfmask.training.device import check_devices, precision_of
    from halfmask.training.options import Options
    from halfmask.training.pretrained import named
    from halfmask.training.run import describe
    from halfmask.training.start import check_unused, start

    require(
        (0 < slices <= 1, f"--slices is a share in (0, 1], got {slices}"),
        (slice_axis in (0, 1, 2), f"--slice-axis is 0, 1 or 2, got {slice_axis}"),
        (draw is None or draw >= 0, f"--draw is 0 or more, got {draw}"),
        *in_range(
            seed=seed, steps=steps, rate=rate, momentum=momentum, weight_decay=weight_decay, clip=clip,
            validations=validations, save_seconds=save_seconds, threads=threads, cache=cache, devices=devices,
        ),
    )  # fmt: skip
    clusters = method != "auto" and issubclass(find(method), Clusterer)
    of_labels = {"labels": labels is not None, "slices": slices != 1, "draw": draw is not None}
    of_labels |= {"source": source is not None, "target": target is not None}
    _check_reads(method, store, of_labels, clusters=clusters)
    here = launch.surroundings()
    processes = launch.joint_size(devices, here)
    check_devices(device, here.local if here else processes)
    opened = Store(store)
    size = f"1+{batch}" if clusters and batch is not None and "+" not in batch else batch  # of images alone
    asked = Recipe(optimizer, rate, momentum, weight_decay, schedule, clip, steps, *halves(size))
    described = lambda method: describe(
        opened.plan,
        method,
        settings=settings(set),
        network=network,
        recipe=asked,
        labels=budget(labels),
        slices=slices,
        slice_axis=slice_axis,
        fold=fold,
        seed=seed,
        draw=draw,
        source=names(source) or None,
        target=names(target) or None,
        precision=precision_of(precision, device),
        init=None if init is None else named(init),
        processes=processes,
    )
    _check_search(method, search=search, candidates=candidates, slices=slices, adapts=bool(source or target),
                  processes=processes, given=settings(set))  # fmt: skip
    require((not search or not opened.plan.classifies, f"a search compares what segments, and {store} is one of whole "
             "images with classes; leave out --search"))  # fmt: skip
    if search:
        check_unused(out, resume=resume)
        method = _searched(described("supervised"), asked, opened, out, candidates, device)
    elif method == "auto" and opened.plan.classifies:
        method = "classification"
        say(f"auto: {method}, as {store} is one of whole images with classes")
    elif method == "auto":
        method = RECOMMENDED
        say(f"auto: {method}, level with the best in validation where we compared all; --search asks your own labels")
    run = described(method)
    if processes > 1 and here is None:
        raise launch.SeveralProcesses(processes)
    options = Options(device, compile, threads, validations, save_seconds, cache)
    result = start(run, opened, out, options, resume=resume)
    if here is not None and here.rank > 0:
        return result
    if clusters:
        print(f"{out}: {result['steps']} steps of {method} in {result['seconds']:.0f} s on {result['unlabeled']} "
              "cases; no label was read, and `halfmask evaluate` names the clusters")  # fmt: skip
        return result
    best = next(
        (f", best validation {name} {result[key]:.4f}" for key, name in BESTS.items() if result.get(key) is not None),
        "",
    )
    print(f"{out}: {result['steps']} steps of {method} in {result['seconds']:.0f} s with "
          f"{len(result['labeled'])} labeled and {result['unlabeled']} unlabeled cases"
          + best)  # fmt: skip
    return result


def _check_reads(method: str, store: Path, of_labels: Mapping[str, bool], *, clusters: bool) -> None:
    """Some methods learn from images alone: of those that make clusters there are no labels to choose, and those that
    pre-train have a verb of their own."""
    from halfmask.learning.method import Pretrainer
    from halfmask.methods import find

    if method != "auto" and issubclass(find(method), Pretrainer):
        raise ValueError(f"{method!r} learns from images alone: give `halfmask pretrain {method} {store}`")
    if clusters and any(of_labels.values()):
        told = ", ".join(f"--{option}" for option, asked in of_labels.items() if asked)
        raise ValueError(f"{method!r} learns from images alone and reads no label; leave out {told}")


def _check_search(
    method: str,
    *,
    search: bool,
    candidates: str | None,
    slices: float,
    adapts: bool,
    processes: int,
    given: Mapping[str, str],
) -> None:
    own = [name for name in given if not name.startswith("network.")]
    require(
        (not search or method == "auto", f"--search finds the method itself, so give auto, not {method!r}"),
        (search or candidates is None, "--candidates are what --search compares; give it too, with auto"),
        (not search or slices == 1, "a search measures on whole labels, so it cannot go with --slices"),
        (not search or not adapts, "a search measures on labeled cases, and those of the target's are not read; leave "
                                   "out --source and --target, or --search"),
        (not search or processes == 1, "a search trains several methods beside each other; leave out --devices"),
        (not search or not own, f"--set {', '.join(own)}: a search takes each method as it is; only network.… is set"),
    )  # fmt: skip


def _searched(run: Run, asked: Recipe, store: Store, out: Path, candidates: str | None, device: str) -> str:
    """The method that a search chose, for trainings that are as ``run`` but for the method."""
    from halfmask.study.choice import candidates_of, choose
    from halfmask.study.crew import local
    from halfmask.study.room import this_room
    from halfmask.training.cases import labeled_cases

    names = candidates_of(None if candidates is None else candidates.split(","))
    with local(this_room(parallel=None, device=device)) as crew:
        found = choose(run, asked, store, out, crew, labeled=labeled_cases(run, store), candidates=names, device=device)
    print(found.told)
    return found.method


def methods(
    name: Annotated[str | None, Doc("One method, in full.")] = None,
    /,
) -> None:
    """List every method with what it does, its source, its settings and their defaults."""
    from halfmask.methods import about, names

    if name is not None:
        method = about(name)
        print(f"{name} ({method.family})\n{method.line}\n\n{method.text}\n")
        for setting in method.settings.values():
            print(f"  --set {setting.name}={setting.default}")
        return
    for each in sorted(names()):
        method = about(each)
        settings = ", ".join(f"{s.name}={s.default}" for s in method.settings.values())
        print(f"{each} ({method.family})\n    {method.line}\n    {method.source}\n    {settings or 'no settings'}")
