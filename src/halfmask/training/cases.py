"""The cases that a run learns from: whose labels it may read, and whose images alone."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from halfmask import methods
from halfmask.config import nearest
from halfmask.data.batch import IGNORE
from halfmask.data.split import Splits
from halfmask.data.store import Store
from halfmask.progress import say
from halfmask.training.run import Run


def labeled_cases(run: Run, store: Store) -> tuple[str, ...]:
    """The cases whose labels the run may read, of its source domains if it has such; none for one that learns from
    images alone.

    Raises:
        ValueError: the store has no such fold or domain, fewer labels than the budget, or none.
    """
    return _labeled(run, store.splits)


def _labeled(run: Run, splits: Splits) -> tuple[str, ...]:
    if not run.recipe.labeled:
        return ()
    source = source_domains(run, splits)
    found = splits.labeled(fold=run.fold, draw=run.label_draw, budget=run.labels, domains=source)
    if source is not None and not found:
        raise ValueError(
            f"no case of the source {', '.join(source)} has a label outside fold {run.fold} and the sealed part, so "
            "there is nothing to learn from; give another --source or --fold"
        )
    if not found:
        raise ValueError(
            f"no case has a label outside fold {run.fold} and the sealed part, and {run.method} learns from labels; "
            "`halfmask pretrain` and `halfmask train picie` learn from images alone"
        )
    return found


def unlabeled_cases(run: Run, store: Store) -> tuple[str, ...]:
    """The pool of a run that uses one. Labeled images that are not annotated everywhere count among it, and all
    of them if it would be empty, or if the run learns from images alone. In domain adaptation it is of the target
    domains, whether labels of them exist or not.

    Raises:
        ValueError: it learns from images alone, or adapts to a target, and there are none.
    """
    if not run.recipe.unlabeled:
        return ()
    if not run.recipe.labeled:
        if not (images := store.splits.pool(store.stored, (), fold=run.fold)):
            raise ValueError(
                f"all images of {store.path} are sealed or held out by fold {run.fold}, so there are none to learn "
                "from; give another --fold, or images without labels to `halfmask prepare`"
            )
        return images
    labeled = labeled_cases(run, store)
    pool = store.splits.pool(store.stored, labeled, fold=run.fold)
    sparse = tuple(name for name in labeled if run.slices < 1 or IGNORE in store.case(name).voxels)
    pool += sparse
    if (target := target_domains(run, store.splits)) is not None:
        pool = tuple(name for name in pool if store.splits.domains.get(name) in target)
        if not pool:
            raise ValueError(_no_target(run, target))
    if not pool:
        say("there are no unlabeled cases; the labeled images serve as such, without their labels")
        return labeled
    return pool


def _no_target(run: Run, target: Sequence[str]) -> str:
    return (
        f"all images of the target {', '.join(target)} are sealed, held out by fold {run.fold} or labeled, so "
        "there are none to adapt to; give another --target or --fold, or add images to the data set"
    )


def held_cases(run: Run, store: Store) -> tuple[str, ...]:
    """Those of the pool that a pre-training is judged by: a share of the groups, drawn by its seed."""
    share = getattr(methods.find(run.method), "held", 0.0)
    pool = unlabeled_cases(run, store) if share else ()
    groups = list(dict.fromkeys(map(store.splits.group, pool)))
    if len(groups) < 2:
        return ()
    drawn = np.random.default_rng((run.seed, zlib.crc32(b"held"))).permutation(groups)
    held = set(drawn[: max(1, round(share * len(groups)))])
    return tuple(name for name in pool if store.splits.group(name) in held)


def source_domains(run: Run, splits: Splits) -> tuple[str, ...] | None:
    """The domains whose labels are read: those named, else all but the target; None if the run knows no domains."""
    return _one_side(run.source, run.target, splits)


def target_domains(run: Run, splits: Splits) -> tuple[str, ...] | None:
    """The domains whose images are adapted to: those named, else all but the source; None as above."""
    return _one_side(run.target, run.source, splits)


def sides(run: Run, splits: Splits) -> dict[str, list[str]]:
    """The domains of either side, for who has the run but not its store; nothing where it knows no domains."""
    source, target = source_domains(run, splits), target_domains(run, splits)
    return {} if source is None or target is None else {"source": list(source), "target": list(target)}


def check_domains(run: Run, splits: Splits) -> None:
    """Raise ValueError unless the data set has the domains that the run names, and some for either side."""
    named = tuple(dict.fromkeys((*(run.source or ()), *(run.target or ()))))
    if not named:
        return
    known = _known(splits)
    if not known:
        raise ValueError(
            "no case has a domain, so there is no --source or --target; name each case's scanner or site in the column "
            "domain of a CSV table, or by `halfmask prepare --domain REGEX`, and prepare anew"
        )
    if wrong := [name for name in named if name not in known]:
        raise ValueError("\n".join(f"no case has the domain {name!r}; {nearest(name, known)}" for name in wrong))
    for side, given in (("source", source_domains(run, splits)), ("target", target_domains(run, splits))):
        if not given:
            other = "target" if side == "source" else "source"
            raise ValueError(f"the {other} is all domains there are ({', '.join(known)}); name the {side} too")


def check_cases(run: Run, splits: Splits) -> None:
    """Raise ValueError unless there are the labels that a run asks for, and images of its target; before any store.

    Args:
        splits: of all cases, so that each is taken to be stored, and to be annotated everywhere if it is labeled.
    """
    check_domains(run, splits)
    labeled, target = _labeled(run, splits), target_domains(run, splits)
    if target is None or not (run.recipe.labeled and run.recipe.unlabeled):
        return
    pool = (*splits.pool(tuple(splits.domains), labeled, fold=run.fold), *labeled)  # labeled slices are some of all
    if not any(splits.domains.get(name) in target for name in pool):
        raise ValueError(_no_target(run, target))


def unfit_choice(run: Run, splits: Splits) -> str:
    """Why the best weights in validation would be chosen by labels that the run is not to read; empty if not so."""
    source = source_domains(run, splits)
    if source is None or not splits.folds[run.fold]:
        return ""
    if any(splits.domains.get(name) in source for name in splits.folds[run.fold]):
        return ""
    return (
        f"fold {run.fold} holds out no case of the source {', '.join(source)}, so labels of other domains choose the "
        "best checkpoint; take the last, or prepare with --stratify"
    )


def _one_side(own: Sequence[str] | None, other: Sequence[str] | None, splits: Splits) -> tuple[str, ...] | None:
    if own is not None:
        return tuple(own)
    return None if other is None else tuple(name for name in _known(splits) if name not in other)


def _known(splits: Splits) -> list[str]:
    return sorted(set(splits.domains.values()))
