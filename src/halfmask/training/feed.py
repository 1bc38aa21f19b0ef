"""What a run is fed: batches of its cases, and their augmentation."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from halfmask import methods
from halfmask.augment.space import Space
from halfmask.augment.views import Augmentation
from halfmask.data.batch import Batch, Images
from halfmask.data.load import CACHE, Loader
from halfmask.data.plan import Plan
from halfmask.data.regions import region_labels
from halfmask.data.sample import Sparse, Stream
from halfmask.data.store import Store
from halfmask.evaluation.probe import Probe
from halfmask.learning.method import Clusterer, Method, Pretrainer
from halfmask.learning.processes import ALONE, Processes
from halfmask.training.cases import held_cases, labeled_cases, unlabeled_cases
from halfmask.training.monitor import Monitor, expected_shares
from halfmask.training.run import Run

MONITORED = {2: 32, 3: 8}
"""Crops that pseudo-labels are looked at on, by dims, rounded up to whole batches."""
WHOLE = 256
"""The same of images that are told apart whole: each is a single sample to the probe."""


def augmentation(plan: Plan) -> Augmentation:
    """The augmentation that a plan calls for."""
    return Augmentation(plan.patch, Space(plan.axis_spacing, plan.flips))


def target(plan: Plan, images: Images) -> Images:
    """Labeled images with what networks are to say of them, where the plan trains regions, not classes."""
    if plan.outputs != "regions" or images.label is None:
        return images
    return images.with_(label=region_labels(images.label, plan.members))


def views(method: Method, plan: Plan, augment: Augmentation, batch: Batch) -> Batch:
    """A batch as the method is to see it: augmented, but for one that makes its own views."""
    if isinstance(method, Pretrainer | Clusterer):
        return batch
    labeled = target(plan, augment.labeled(batch.labeled))
    view = augment.labeled if method.alike else augment.weak
    return Batch(labeled, view(batch.unlabeled) if len(batch.unlabeled) else batch.unlabeled)


def class_counts(run: Run, store: Store) -> torch.Tensor:
    """How many labeled images are of each class, (K,), or (2, K) without and with each; see `Classifier.count`."""
    targets = torch.tensor([store.case(name).target for name in labeled_cases(run, store)])
    if store.plan.exclusive:
        return torch.bincount(targets[:, 0], minlength=store.plan.classes)
    return torch.stack([(targets == value).sum(0) for value in (0, 1)])


def absent_classes(run: Run, store: Store) -> list[str]:
    """The classes that no image shows whose label the run may read."""
    counts = class_counts(run, store)
    there = counts if store.plan.exclusive else counts[1]
    return [name for name, n in zip(store.plan.labels, there.tolist(), strict=True) if not n]


def make_monitor(run: Run, store: Store, unlabeled: Sequence[str], device: torch.device) -> Monitor | None:
    """What looks at the pseudo-labels of a run, on crops of its unlabeled cases; None if it has none."""
    plan, size = store.plan, run.recipe.unlabeled
    if not size:
        return None
    labeled = labeled_cases(run, store)
    crops = lambda names: _monitored(run, store, names, device)
    members = torch.from_numpy(np.eye(plan.classes, dtype=bool) if plan.exclusive else plan.members)
    expected = expected_shares([store.case(name).voxels for name in labeled], members)
    return Monitor(crops(unlabeled), plan.output_names, expected, crops(labeled), size=size, exclusive=plan.exclusive)


def make_probe(run: Run, store: Store, device: torch.device) -> Probe:
    """What tells whether features of a run's images mean something: by labels of the fold's training part, if it has
    two labeled groups at least. They choose nothing."""
    groups: dict[str, list[str]] = {}
    for name in store.splits.labeled(fold=run.fold, draw=run.label_draw, budget=None) if store.splits.orders[0] else ():
        groups.setdefault(store.splits.group(name), []).append(name)
    parts = [list(itertools.chain(*list(groups.values())[half::2])) for half in (0, 1)]
    crops = lambda names: _monitored(run, store, names, device, focused=True) if names else None
    return Probe(_monitored(run, store, unlabeled_cases(run, store), device), *map(crops, parts))


def _monitored(run: Run, store: Store, names: Sequence[str], device: torch.device, *, focused: bool = False) -> Images:
    """Crops of some cases with their labels as networks are to tell them, the same each time."""
    size = run.recipe.unlabeled or 1
    wanted = WHOLE if store.plan.classifies else MONITORED[store.plan.dims]
    count = size * -(-min(wanted, max(len(names), MONITORED[store.plan.dims])) // size)
    (crops,) = some_crops(
        run, store, names, device, count=count, size=count, name="monitor", labels=True, focused=focused
    )
    return target(store.plan, crops)


def some_crops(
    run: Run,
    store: Store,
    names: Sequence[str],
    device: torch.device,
    *,
    count: int,
    size: int,
    name: str,
    labels: bool = False,
    focused: bool = False,
) -> list[Images]:
    """Crops of some cases in batches of ``size``, the same each time; for ``name`` see `Stream`.

    Args:
        labels: they come with their labels; focused: half of them are placed on foreground.
    """
    cases, patch = [store.case(each) for each in names], (*(1,) * (3 - store.plan.dims), *store.plan.patch)
    stream = Stream(cases, patch=patch, margin=(0, 0, 0), size=size, seed=run.seed, name=name, labeled=focused)
    given = (stream, None) if labels else (None, stream)
    batches = Loader(*given, dims=store.plan.dims, device=device, threads=0, cache=0).batches(0, -(-count // size))
    return [batch.labeled if labels else batch.unlabeled for batch in batches]


def make_loader(
    run: Run,
    store: Store,
    device: torch.device,
    *,
    threads: int,
    cache: float = CACHE,
    processes: Processes = ALONE,
) -> Loader:
    """The batches of a run. A 2D patch is a crop of one slice.

    With several processes each gets its part of the batch that one would get of their joint size.
    """
    plan, recipe = store.plan, run.recipe
    flat = (1,) * (3 - plan.dims)
    margin = tuple((m - p) // 2 for m, p in zip(augmentation(plan).margin(), plan.patch, strict=True))
    kind = methods.find(run.method)
    if issubclass(kind, Pretrainer | Clusterer):  # it cuts its views itself
        margin = (0,) * plan.dims
    patch, margin = (*flat, *plan.patch), (*(0 for _ in flat), *margin)
    place = functools.partial(Stream, patch=patch, margin=margin, seed=run.seed)

    def stream(cases: list, size: int, **options: Any) -> Stream:
        own = range(processes.rank * size, (processes.rank + 1) * size)
        return place(cases, size=size * processes.size, slots=own, **options)

    cases = lambda names: [store.case(name) for name in names]
    sparse = Sparse(run.slices, run.slice_axis, run.label_draw) if run.slices < 1 else None
    labeled = unlabeled = None
    if recipe.labeled:
        placed = {"labeled": True, "sparse": sparse, "evenly": kind.evenly}
        labeled = stream(cases(labeled_cases(run, store)), recipe.labeled, name="labeled", **placed)
    if recipe.unlabeled:
        held = set(held_cases(run, store))
        pool = cases([name for name in unlabeled_cases(run, store) if name not in held])
        aligned = getattr(kind, "aligned", False)
        unlabeled = stream(pool, recipe.unlabeled, name="unlabeled", labeled=False, aligned=aligned)
    return Loader(
        labeled, unlabeled, dims=plan.dims, device=device, threads=threads, cache=cache, local=processes.local
    )
