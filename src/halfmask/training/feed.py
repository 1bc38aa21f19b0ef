"""What a run is fed: its labeled and unlabeled cases, the loader over them, and their augmentation."""

from __future__ import annotations

import functools

import torch

from halfmask.augment.views import Augmentation
from halfmask.data.batch import IGNORE
from halfmask.data.load import Loader
from halfmask.data.plan import Plan
from halfmask.data.sample import Sparse, Stream
from halfmask.data.store import Store
from halfmask.progress import say
from halfmask.training.run import Run


def labeled_cases(run: Run, store: Store) -> tuple[str, ...]:
    """The cases whose labels the run may read."""
    return store.splits.labeled(fold=run.fold, seed=run.seed, budget=run.labels)


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
    spacing = tuple(1.0 if s is None else s for s in plan.spacing[3 - plan.dims :])
    return Augmentation(patch=plan.patch, spacing=spacing, flips=plan.flips)


def make_loader(run: Run, store: Store, device: torch.device, *, threads: int) -> Loader:
    """The batches of a run. A 2D patch is a crop of one slice."""
    plan, recipe = store.plan, run.recipe
    flat = (1,) * (3 - plan.dims)
    margin = tuple((m - p) // 2 for m, p in zip(augmentation(plan).margin(), plan.patch, strict=True))
    stream = functools.partial(Stream, patch=(*flat, *plan.patch), margin=(*(0 for _ in flat), *margin), seed=run.seed)
    cases = lambda names: [store.case(name) for name in names]
    sparse = Sparse(run.slices, run.slice_axis, run.seed) if run.slices < 1 else None
    assert recipe.labeled is not None
    labeled = stream(cases(labeled_cases(run, store)), size=recipe.labeled, name="labeled", labeled=True, sparse=sparse)
    unlabeled = None
    if recipe.unlabeled:
        pool = cases(unlabeled_cases(run, store))
        unlabeled = stream(pool, size=recipe.unlabeled, name="unlabeled", labeled=False)
    return Loader(labeled, unlabeled, dims=plan.dims, device=device, threads=threads)
