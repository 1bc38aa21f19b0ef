"""The verbs: one public function each, with the arguments of the command line.

Heavy packages are imported inside the functions, so that ``--help`` answers at once.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

if TYPE_CHECKING:
    import pandas as pd

    from halfmask.data.index import Case, Fault


@dataclass(frozen=True)
class Doc:
    """What an argument means; the command line shows it as help."""

    text: str


Group = Annotated[
    str | None, Doc(r"Regular expression on case names; its first parenthesis is the patient or site: '(patient\d+)'.")
]
Workers = Annotated[int | None, Doc("Processes that work at once; all cores unless given.")]
Device = Annotated[Literal["auto", "cpu", "cuda"], Doc("Where to compute.")]


def check(
    data: Annotated[Path, Doc("The data set: a folder or a CSV table.")],
    /,
    *,
    group: Group = None,
    out: Annotated[Path | None, Doc("Also write the faults as a CSV table.")] = None,
    workers: Workers = None,
) -> list[Fault]:
    """Read every image and label and list all faults, each with case, file and remedy."""
    from halfmask.data import check as checking
    from halfmask.data.index import read_index
    from halfmask.data.parallel import workers as pool

    index = read_index(data, group=group)
    with pool(_workers(workers)) as executor:
        faults = checking.check(index, executor=executor)
    if out is not None:
        import pandas as pd

        from halfmask.data.atomic import atomic

        with atomic(out) as partial:
            columns = ["severity", "case", "file", "what", "remedy"]
            pd.DataFrame([vars(f) for f in faults], columns=columns).to_csv(partial, index=False)
    for fault in faults:
        print(f"{fault.severity}: {fault}")
    errors = sum(f.severity == "error" for f in faults)
    labeled = sum(c.label is not None for c in index.cases)
    print(f"{len(index.cases)} cases, {labeled} with a label: {errors} errors, {len(faults) - errors} warnings")
    return faults


def prepare(
    data: Annotated[Path, Doc("The data set: a folder or a CSV table.")],
    /,
    *,
    out: Annotated[Path, Doc("The store to make; edit its plan.yaml or splits.yaml and run again to change it.")],
    group: Group = None,
    test: Annotated[
        float, Doc("Share of the labeled cases to seal for testing, unless the data set says which.")
    ] = 0.2,
    seed: Annotated[int, Doc("Of the random splits.")] = 0,
    dims: Annotated[int | None, Doc("2 or 3; the plan decides unless given.")] = None,
    memory: Annotated[float, Doc("GiB that training may take; the plan's patch follows from it.")] = 8.0,
    ignore_value: Annotated[int | None, Doc("Label value of voxels that nobody annotated.")] = None,
    workers: Workers = None,
) -> None:
    """Check the data set, plan, split, and store it ready for training; goes on where it was stopped."""
    from halfmask.data import prepare as preparing
    from halfmask.data.index import read_index
    from halfmask.data.parallel import workers as pool

    if not 0 <= test < 1:
        raise ValueError(f"--test is a share in [0, 1), got {test}")
    if dims not in (None, 2, 3):
        raise ValueError(f"--dims is 2 or 3, got {dims}")
    index = read_index(data, group=group)
    with pool(_workers(workers)) as executor:
        store = preparing.prepare(
            index, out, test=test, seed=seed, dims=dims, memory_gib=memory,  # type: ignore[arg-type]
            ignore_value=ignore_value, executor=executor,
        )  # fmt: skip
    plan, splits = store.plan, store.splits
    print(f"{len(store.stored)} cases stored in {out}, {len(splits.test)} sealed, {len(splits.folds)} folds")
    print(f"{plan.dims}D, patch {'×'.join(map(str, plan.patch))}, batch {plan.labeled}+{plan.unlabeled}, classes "
          f"{', '.join(plan.labels)}")  # fmt: skip
    for reason in plan.why:
        print(f"  {reason}")


def train(
    method: Annotated[str, Doc("Its name; `halfmask methods` lists them.")],
    store: Annotated[Path, Doc("What `halfmask prepare` made.")],
    /,
    *,
    out: Annotated[Path, Doc("The run's folder: checkpoints, journal, settings.")],
    labels: Annotated[
        str | None, Doc("Labeled cases (patients, if grouped) to use: a count, or a share as 0.1 or 10%.")
    ] = None,
    slices: Annotated[float, Doc("Share of slices of each labeled case that keep their labels.")] = 1.0,
    slice_axis: Annotated[int, Doc("The prepared axis (0–2) across which slices lie.")] = 0,
    fold: Annotated[int, Doc("Whose cases validate.")] = 0,
    seed: Annotated[int, Doc("Of the labeled subset, the first weights and all that is drawn.")] = 0,
    steps: Annotated[int | None, Doc("Of training.")] = None,
    network: Annotated[str | None, Doc("unet, residual_unet or vnet; the plan's unless given.")] = None,
    batch: Annotated[str | None, Doc("Labeled and unlabeled images a step, as 2+2.")] = None,
    optimizer: Annotated[Literal["sgd", "adam", "adamw"] | None, Doc("The optimizer.")] = None,
    rate: Annotated[float | None, Doc("The learning rate at the start.")] = None,
    schedule: Annotated[Literal["poly", "cosine", "constant"] | None, Doc("Of the rate.")] = None,
    set: Annotated[
        list[str] | None, Doc("A setting of the method or network, as weight=0.5 or network.width=16.")
    ] = None,
    init: Annotated[Path | None, Doc("A run whose weights to start from.")] = None,
    resume: Annotated[bool, Doc("Go on with the run in --out after any stop.")] = False,
    precision: Annotated[Literal["auto", "32", "bf16"], Doc("auto is bf16 on CUDA, else 32.")] = "auto",
    device: Device = "auto",
    compile: Annotated[bool | None, Doc("Compile the networks; done on CUDA unless given.")] = None,
    validations: Annotated[int, Doc("How often to validate during the run; 0 never.")] = 10,
    save_seconds: Annotated[float, Doc("Time between checkpoints.")] = 120.0,
    threads: Annotated[int, Doc("That read batches ahead.")] = 2,
) -> dict[str, Any]:
    """Train a method on a store; stops cleanly on Ctrl-C and goes on with --resume."""
    import torch

    from halfmask.data.store import Store
    from halfmask.learning.recipe import Recipe
    from halfmask.training import trainer
    from halfmask.training.run import describe

    if not 0 < slices <= 1:
        raise ValueError(f"--slices is a share in (0, 1], got {slices}")
    if slice_axis not in (0, 1, 2):
        raise ValueError(f"--slice-axis is 0, 1 or 2, got {slice_axis}")
    if steps is not None and steps < 1:
        raise ValueError(f"--steps is at least 1, got {steps}")
    if precision == "auto":
        cuda = device == "cuda" or (device == "auto" and torch.cuda.is_available())
        precision = "bf16" if cuda and torch.cuda.is_bf16_supported() else "32"
    opened = Store(store)
    halves = _batch(batch)
    run = describe(
        opened.plan,
        method,
        settings=_settings(set),
        network=network,
        recipe=Recipe(optimizer, rate, schedule=schedule, steps=steps, labeled=halves[0], unlabeled=halves[1]),
        labels=_budget(labels),
        slices=slices,
        slice_axis=slice_axis,
        fold=fold,
        seed=seed,
        precision=precision,
    )
    options = trainer.Options(device, compile, threads, validations, save_seconds)
    result = trainer.start(run, opened, out, options, init=init, resume=resume)
    dice = result["best_validation_dice"]
    print(f"{out}: {result['steps']} steps of {method} in {result['seconds']:.0f} s with "
          f"{len(result['labeled'])} labeled and {result['unlabeled']} unlabeled cases"
          + (f", best validation Dice {dice:.4f}" if dice is not None else ""))  # fmt: skip
    return result


def predict(
    run: Annotated[Path, Doc("A trained run; nothing else of the training is needed.")],
    images: Annotated[Path | None, Doc("A data set, a folder of images or one image.")] = None,
    /,
    *,
    out: Annotated[Path, Doc("The folder for the masks.")],
    split: Annotated[Literal["test"] | None, Doc("Instead of IMAGES: the sealed cases of the run's store.")] = None,
    store: Annotated[Path | None, Doc("That store, if it has moved since.")] = None,
    checkpoint: Annotated[Literal["last", "best"], Doc("The last step, or the best in validation.")] = "last",
    flips: Annotated[bool, Doc("Average over the mirrorings that the plan allows.")] = False,
    overlap: Annotated[float, Doc("Of neighboring windows, in [0, 1).")] = 0.5,
    probability: Annotated[bool, Doc("Also write each class's probability.")] = False,
    entropy: Annotated[bool, Doc("Also write the entropy, 0 sure to 1 undecided.")] = False,
    device: Device = "auto",
) -> list[Path]:
    """Write a mask for each image, in the image's own geometry and format."""
    from lightning_fabric import Fabric

    from halfmask.data.store import Store
    from halfmask.inference.predict import predict_cases
    from halfmask.training.run import load_run
    from halfmask.training.trainer import PRECISIONS, make_predictor

    if (images is None) == (split is None):
        raise ValueError("give either IMAGES or --split test")
    if not 0 <= overlap < 1:
        raise ValueError(f"--overlap lies in [0, 1), got {overlap}")
    plan, told, method, rest = load_run(run, f"{checkpoint}.pt")
    cases: list[Case]
    if split is not None:
        opened = Store(store or Path(rest["store"]))
        cases = [opened.sources[name] for name in opened.splits.test]
        if not cases:
            raise ValueError(f"{opened.path} has no sealed cases")
    else:
        assert images is not None
        cases = _cases(images)
    fabric = Fabric(accelerator=device, devices=1)
    if fabric.device.type == "cuda":
        fabric = Fabric(accelerator=device, devices=1, precision=PRECISIONS[told.precision])  # type: ignore[arg-type]
    method.to(fabric.device)
    predictor = make_predictor(method, plan, fabric, flips=flips, overlap=overlap)
    about = {"run": str(run), "method": told.method, "checkpoint": checkpoint}
    masks = predict_cases(cases, predictor, out, probability=probability, entropy=entropy, about=about)
    print(f"{len(masks)} masks in {out}")
    return masks


def evaluate(
    predictions: Annotated[Path, Doc("The folder of masks that `halfmask predict` wrote.")],
    labels: Annotated[Path, Doc("The data set, or a folder of label files of the same names.")],
    /,
    *,
    out: Annotated[Path, Doc("The CSV table, a row for each case and class or region.")],
    workers: Workers = None,
) -> pd.DataFrame:
    """Compare masks with labels; a table per case and structure, and its summary."""
    from halfmask.data.parallel import workers as pool
    from halfmask.evaluation import compare, table

    with pool(_workers(workers)) as executor:
        result = compare.compare(predictions, labels, executor=executor)
    table.write(result, out)
    summary = table.summary(result)
    table.write(summary, out.with_name(f"{out.stem}-summary{out.suffix}"))
    print(table.render(summary))
    print(f"{result['case'].nunique()} cases; each in {out}")
    return result


def methods(
    name: Annotated[str | None, Doc("One method, in full.")] = None,
    /,
) -> None:
    """List every method with its source, settings and defaults."""
    import inspect

    from halfmask import methods as found
    from halfmask.config import settings_of

    if name is not None:
        kind = found.find(name)
        print(f"{name}\n\n{inspect.getdoc(kind)}\n")
        for setting in settings_of(kind).values():
            print(f"  --set {setting.name}={setting.default}")
        return
    for each, module in sorted(found.names().items()):
        kind = found.find(each)
        room = module.split(".")[-2]
        head = (inspect.getmodule(kind).__doc__ or "").strip().splitlines()[0]
        settings = ", ".join(f"{s.name}={s.default}" for s in settings_of(kind).values())
        print(f"{each} ({room})\n    {head}\n    {settings or 'no settings'}")


def _workers(count: int | None) -> int:
    return len(os.sched_getaffinity(0)) if count is None else count


def _budget(text: str | None) -> int | float | None:
    """ "8" is a count, "0.1" and "10%" are shares."""
    if text is None:
        return None
    try:
        return float(text[:-1]) / 100 if text.endswith("%") else int(text) if text.isdigit() else float(text)
    except ValueError:
        raise ValueError(f"--labels is a count such as 8 or a share such as 0.1 or 10%, got {text!r}") from None


def _batch(text: str | None) -> tuple[int | None, int | None]:
    if text is None:
        return None, None
    labeled, plus, unlabeled = text.partition("+")
    if not (labeled.isdigit() and int(labeled) > 0 and (unlabeled.isdigit() if plus else True)):
        raise ValueError(f"--batch is labeled+unlabeled images such as 2+2, got {text!r}")
    return int(labeled), int(unlabeled) if plus else None


def _settings(pairs: list[str] | None) -> Mapping[str, str]:
    wrong = [p for p in pairs or () if "=" not in p]
    if wrong:
        raise ValueError(f"--set takes name=value, got {', '.join(map(repr, wrong))}")
    return {name.strip(): value.strip() for name, _, value in (p.partition("=") for p in pairs or ())}


def _cases(images: Path) -> list[Case]:
    from halfmask.data.index import read_images

    return read_images(images)
