"""What a run is fed: its labeled and unlabeled cases, the loader over them, and their augmentation."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from halfmask.augment.space import Space
from halfmask.augment.views import Augmentation
from halfmask.data.batch import IGNORE, Images
from halfmask.data.load import CACHE, Loader
from halfmask.data.plan import Plan
from halfmask.data.regions import region_labels
from halfmask.data.sample import Sparse, Stream
from halfmask.data.store import Store
from halfmask.learning.processes import ALONE, Processes
from halfmask.progress import say
from halfmask.training.monitor import Monitor, expected_shares
from halfmask.training.run import Run

MONITORED = {2: 32, 3: 8}
"""Crops that pseudo-labels are looked at on, by dims, rounded up to whole batches."""


def labeled_cases(run: Run, store: Store) -> tuple[str, ...]:
    """The cases whose labels the run may read."""
    return store.splits.labeled(fold=run.fold, draw=run.label_draw, budget=run.labels)


def unlabeled_cases(run: Run, store: Store) -> tuple[str, ...]:
    """The pool of a run that uses one. Labeled images that are not annotated everywhere count among it, and all
    of them if it would be empty."""
    if not run.recipe.unlabeled:
        return ()
    labeled = labeled_cases(run, store)
    pool = store.splits.pool(store.stored, labeled, fold=run.fold)
    sparse = tuple(name for name in labeled if run.slices < 1 or IGNORE in store.case(name).voxels)
    pool += sparse
    if not pool:
        say("there are no unlabeled cases; the labeled images serve as such, without their labels")
        return labeled
    return pool


def augmentation(plan: Plan) -> Augmentation:
    """The augmentation that a plan calls for."""
    return Augmentation(plan.patch, Space(plan.axis_spacing, plan.flips))


def target(plan: Plan, images: Images) -> Images:
    """Labeled images with what networks are to say of them, where the plan trains regions, not classes."""
    if plan.exclusive or images.label is None:
        return images
    return images.with_(label=region_labels(images.label, plan.members))


def make_monitor(run: Run, store: Store, unlabeled: Sequence[str], device: torch.device) -> Monitor | None:
    """What looks at the pseudo-labels of a run, on crops of its unlabeled cases; None if it has none."""
    plan, size = store.plan, run.recipe.unlabeled
    if not size:
        return None
    labeled = labeled_cases(run, store)
    flat = (1,) * (3 - plan.dims)
    count = size * -(-MONITORED[plan.dims] // size)

    def crops(names: Sequence[str]) -> Images:
        cases, patch = [store.case(name) for name in names], (*flat, *plan.patch)
        stream = Stream(cases, patch=patch, margin=(0, 0, 0), size=count, seed=run.seed, name="monitor", labeled=False)
        (batch,) = Loader(stream, None, dims=plan.dims, device=device, threads=0, cache=0).batches(0, 1)
        return target(plan, batch.labeled)

    members = torch.from_numpy(np.eye(plan.classes, dtype=bool) if plan.exclusive else plan.members)
    expected = expected_shares([store.case(name).voxels for name in labeled], members)
    return Monitor(crops(unlabeled), plan.output_names, expected, crops(labeled), size=size, exclusive=plan.exclusive)


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
    patch, margin = (*flat, *plan.patch), (*(0 for _ in flat), *margin)
    place = functools.partial(Stream, patch=patch, margin=margin, seed=run.seed)

    def stream(cases: list, size: int, **options: Any) -> Stream:
        own = range(processes.rank * size, (processes.rank + 1) * size)
        return place(cases, size=size * processes.size, slots=own, **options)

    cases = lambda names: [store.case(name) for name in names]
    sparse = Sparse(run.slices, run.slice_axis, run.label_draw) if run.slices < 1 else None
    assert recipe.labeled is not None
    labeled = stream(cases(labeled_cases(run, store)), recipe.labeled, name="labeled", labeled=True, sparse=sparse)
    unlabeled = None
    if recipe.unlabeled:
        pool = cases(unlabeled_cases(run, store))
        unlabeled = stream(pool, recipe.unlabeled, name="unlabeled", labeled=False)
    return Loader(
        labeled, unlabeled, dims=plan.dims, device=device, threads=threads, cache=cache, local=processes.local
    )
