"""What one training is, and the method that it describes."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from halfmask import __version__, methods
from halfmask.config import read_settings, settings_of
from halfmask.data.plan import Plan, plan_of
from halfmask.learning.method import Classifier, Clusterer, Method, Pretrainer, Segmenter
from halfmask.learning.recipe import BASE, Recipe
from halfmask.networks.factory import Builder, network_settings
from halfmask.training import checkpoint

FORMAT = 1
LAST, BEST = "last.pt", "best.pt"


@dataclass(frozen=True)
class Run:
    """Every choice of one training; with the store it tells all that happens in it.

    Attributes:
        method: its name; ``settings`` are its keywords, all of them.
        network: its name; ``network_settings`` are those that differ from the defaults.
        recipe: complete.
        labels: budget, see `Splits.labeled`; slices: share of slices that keep their labels, along ``slice_axis``.
        seed: of the first weights, the order of the batches and the augmentation.
        draw: which cases and slices have labels; None for the seed's own, see `label_draw`.
        init: the run, file or name in the hub whose weights it starts from.
        processes: that train together, each with a batch of the recipe's size.
        source, target: in domain adaptation the domains whose labels are read, and those whose images are learned from
            without; see `training.cases`.
    """

    method: str
    settings: dict[str, Any] = field(default_factory=dict)
    network: str = "unet"
    network_settings: dict[str, Any] = field(default_factory=dict)
    recipe: Recipe = BASE
    labels: int | float | None = None
    slices: float = 1.0
    slice_axis: int = 0
    fold: int = 0
    seed: int = 0
    precision: str = "32"
    init: str | None = None
    processes: int = 1
    draw: int | None = None
    source: tuple[str, ...] | None = None
    target: tuple[str, ...] | None = None

    @property
    def label_draw(self) -> int:
        """The draw of labels that the run has: its seed's unless it was given one."""
        return self.seed if self.draw is None else self.draw


def describe(
    plan: Plan,
    method: str,
    *,
    settings: Mapping[str, Any],
    network: str | None,
    recipe: Recipe,
    **choices: Any,
) -> Run:
    """A run from what the user gave: settings checked and completed, the recipe filled up.

    Args:
        settings: of the method; those that begin with ``network.`` are the network's.
        recipe: what the user asked for; base < plan < the method's recipe < this. Only, a method that reads no
            unlabeled images is given none, whatever was asked for, and one that reads no labels no labeled ones.

    Raises:
        ValueError: with every unknown or unfit setting.
    """
    kind = methods.find(method)
    if not issubclass(kind, Pretrainer) and issubclass(kind, Classifier) != plan.classifies:
        raise ValueError(_misfit(method, plan))
    own = {k: v for k, v in settings.items() if not k.startswith("network.")}
    of_network = {k.removeprefix("network."): v for k, v in settings.items() if k.startswith("network.")}
    network = network or plan.network
    if network == plan.network:
        of_network = {**plan.network_settings, **of_network}
    from_plan = Recipe(labeled=plan.labeled, unlabeled=plan.unlabeled)
    full = recipe.over(kind.recipe).over(from_plan).over(BASE)
    if kind.recipe.unlabeled == 0:
        full = replace(full, unlabeled=0)
    if kind.recipe.labeled == 0:
        full = replace(full, labeled=0)
    faults: list[str] = []
    if plan.classifies and (choices.get("slices", 1) != 1 or choices.get("slice_axis")):
        faults.append("whole images have a label each, not a slice; leave out --slices and --slice-axis")
    with _gathered(faults):
        own = read_settings(kind, own, of=f"method {method!r}")
    with _gathered(faults):
        of_network = network_settings(network, of_network)
    if kind.recipe.unlabeled != 0 and not full.unlabeled:
        faults.append(f"method {method!r} learns from unlabeled images, a batch of {full.labeled}+0 has none")
    if recipe.momentum is not None and full.optimizer != "sgd":
        faults.append(f"momentum is a setting of sgd, the optimizer is {full.optimizer}; leave out one of them")
    if faults:
        raise ValueError("\n".join(faults))
    complete = {name: s.default for name, s in settings_of(kind).items()} | own
    run = Run(method, complete, network, of_network, full, **choices)
    builder_of(plan, run)  # a network that cannot be made is refused here
    return run


def _misfit(method: str, plan: Plan) -> str:
    """Why a method cannot be trained on a store of such a plan."""
    if plan.classifies:
        told = f"the store is one of whole images with classes ({', '.join(plan.labels)}), {method!r} segments"
        return f"{told}; give 'classification', or prepare the data set without --classes"
    return f"{method!r} tells whole images apart, and the store is one to segment; prepare it with --classes COLUMN"


@contextlib.contextmanager
def _gathered(faults: list[str]) -> Iterator[None]:
    """What the user got wrong goes to ``faults``, to be told together."""
    try:
        yield
    except ValueError as e:
        faults.append(str(e))


def builder_of(plan: Plan, run: Run) -> Builder:
    """Builds the networks of a run. Pooling and kernels are the plan's for the plan's own kinds of U-Net.

    Raises:
        ValueError: the network cannot be made for the plan's patch, or with its settings.
    """
    planned = {"pooling": [(1,) * plan.dims, *plan.pooling], "kernels": plan.kernels}
    try:
        return Builder(
            run.network,
            channels=len(plan.channels),
            classes=len(plan.output_names),
            exclusive=plan.exclusive,
            dims=plan.dims,
            patch=plan.patch,
            settings=run.network_settings,
            spacing=plan.axis_spacing,
            flips=plan.flips,
            **(planned if run.network in ("unet", "residual_unet") else {}),
        )
    except ValueError as e:
        remedy = "change the store's plan.yaml (patch; nothing is prepared anew) or --set network.…"
        raise ValueError(f"no network {run.network!r} can be made for the plan: {e}; {remedy}") from e


def make_method(plan: Plan, run: Run) -> Method:
    """A fresh method; its first weights depend on the run's seed alone."""
    torch.manual_seed(run.seed)
    return methods.find(run.method)(builder_of(plan, run), **run.settings)


def contents(plan: Plan, run: Run, store: Path) -> dict[str, Any]:
    """What each checkpoint says of its run, as plain data."""
    return {
        "format": FORMAT,
        "version": __version__,
        "store": str(store.resolve()),
        "plan": plan.model_dump(mode="json"),
        "run": asdict(run),
    }


def read_contents(file: Path) -> dict[str, Any]:
    """A checkpoint of a run.

    Raises:
        ValueError: there is none, or it is something else or of another format.
    """
    content = checkpoint.load(file)
    told = content.get("format") if isinstance(content, dict) else None
    if told != FORMAT:
        raise ValueError(f"{file} has format {told}, this version reads {FORMAT}")
    return content


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What is not the same in the runs that two checkpoints tell of, for the reader."""
    plan = plan_of(then["plan"], where="the checkpoint").model_dump(mode="json")
    then = {**then, "run": asdict(run_of(then)), "plan": plan}  # with what an older version did not know of
    return [
        f"{part}.{key}: {before!r} then, {after!r} now"
        for part in ("run", "plan", "cases")
        for key in {**then[part], **now[part]}
        if json.dumps(before := then[part].get(key)) != json.dumps(after := now[part].get(key))
    ]


def run_of(content: Mapping[str, Any]) -> Run:
    """The run that a checkpoint tells of."""
    return Run(**{**content["run"], "recipe": Recipe(**content["run"]["recipe"])})


def load_run(folder: Path, which: str = LAST) -> tuple[Plan, Run, Segmenter | Clusterer | Classifier, dict[str, Any]]:
    """A trained method, ready to predict, with its plan, its run and the rest of the checkpoint.

    Raises:
        ValueError: ``folder`` holds no such checkpoint, or one of another format, or of a method that predicts nothing.
    """
    if which == BEST and not (folder / BEST).exists() and (folder / LAST).exists():
        raise ValueError(f"{folder} holds no {BEST}, as nothing was validated in that run; give --checkpoint last")
    plan, run, method, content = load_method(folder, which)
    if not isinstance(method, Segmenter | Clusterer | Classifier):
        raise ValueError(f"{folder} was trained by {run.method!r}, which predicts nothing; train from it: --init")
    return plan, run, method.eval(), content


def load_method(folder: Path, which: str) -> tuple[Plan, Run, Method, dict[str, Any]]:
    """The same for any method."""
    content = read_contents(folder / which)
    plan, run = plan_of(content["plan"], where=str(folder / which)), run_of(content)
    method = make_method(plan, run)
    method.load_state_dict(content["state"])
    return plan, run, method, content
