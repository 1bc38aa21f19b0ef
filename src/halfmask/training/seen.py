"""What a run has seen it cannot be measured on, and neither can a run that starts from its weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from halfmask.data.split import Splits
from halfmask.data.store import Store
from halfmask.training.pretrained import run_behind
from halfmask.training.run import BEST

FITTED = ("labeled", "unlabeled")
"""The parts of a run's cases that its weights were fitted to."""


def sealed(store: Store, content: Mapping[str, Any], run: Path) -> tuple[str, ...]:
    """The cases that a store seals for testing, none of which the run has seen.

    Args:
        content: of the run's checkpoint; one that does not tell its cases, as of older versions, is believed.

    Raises:
        ValueError: there are none, or the run has seen some: the splits may be others now.
    """
    cases = store.splits.test
    if not cases:
        raise ValueError(f"{store.path} has no sealed cases")
    _refuse(run, _seen(content, store.splits, cases), f"{store.splits_file} now seals for testing")
    return cases


def held_out(store: Store, content: Mapping[str, Any], run: Path, *, fold: int) -> tuple[str, ...]:
    """The cases that a fold holds out, to none of which the run was fitted; see `sealed`."""
    store.splits.held(fold)  # which refuses a fold that is not there
    cases = store.splits.folds[fold]
    if not cases:
        raise ValueError(f"fold {fold} of {store.path} holds out no cases, so there is nothing to predict")
    _refuse(run, _seen(content, store.splits, cases, FITTED), f"{store.splits_file} now holds out in fold {fold}")
    return cases


def refuse_tainted(init: str, store: Store, *, fold: int) -> None:
    """Refuse weights of a run that has seen what a new one is measured on, or that started from such weights.

    The patients of other runs count by name. What validated a run counts as seen, for the cases of a fold only if
    they chose the weights, which are then best.pt.

    Raises:
        ValueError: with the cases that were seen.
    """
    splits = store.splits
    faults = []
    for place, content in _line(init):
        chosen = FITTED if Path(place).name != BEST else None
        parts = {
            "this store seals for testing": _seen(content, splits, splits.test),
            f"fold {fold} holds out": _seen(content, splits, splits.folds[fold], chosen),
        }
        faults += [f"{place} has seen {len(names)} cases that {what}, or their patients: {', '.join(names)}"
                   for what, names in parts.items() if names]  # fmt: skip
    if faults:
        remedy = (
            "start from weights that were made without them; if others have the same names, prepare one of the two "
            "data sets with other case names"
        )
        raise ValueError("\n".join([*faults, remedy]))


def _line(init: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The run that ``init`` names, the one that it started from, and so on, as far as they are there."""
    place: str | None = init
    known: set[str] = set()
    while place is not None and place not in known and (content := run_behind(place)) is not None:
        yield place, content
        known.add(place)
        place = content["run"].get("init")


def _seen(
    content: Mapping[str, Any], splits: Splits, measured: Iterable[str], parts: Iterable[str] | None = None
) -> list[str]:
    """The cases of a run that are among the measured, or of their patients; ``parts`` of its cases, or all."""
    measured = set(measured)
    taboo = measured | {splits.group(name) for name in measured}
    cases, groups = content.get("cases", {}), content.get("groups", {})
    names = {name for part in (cases if parts is None else parts) for name in cases.get(part, ())}
    return sorted(n for n in names if {n, splits.group(n), groups.get(n, n)} & taboo)


def _refuse(run: Path, seen: list[str], what: str) -> None:
    if seen:
        raise ValueError(
            f"{run} has seen {len(seen)} cases that {what}, or their patients: {', '.join(seen)}; train a run anew "
            "on these splits, or bring back those it was trained with"
        )
