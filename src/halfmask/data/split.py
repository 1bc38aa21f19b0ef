"""Test part, folds, and nested labeled subsets, by group and in a file a person can edit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import yaml

from halfmask.config import nearest
from halfmask.data.atomic import write_text
from halfmask.data.index import Case, Index

SEEDS = 10
FOLDS = 5
VALIDATED = ("val", "validation")


@dataclass(frozen=True)
class Splits:
    """Who is tested, validated and labeled.

    Attributes:
        test: cases that nothing but `evaluate` may see.
        folds: the validation cases of each fold, labeled.
        orders: for each seed the labeled cases outside the test part, group by group; a budget takes
            the first ones that are not validated, so that smaller subsets lie within larger ones.
        groups: case to group, for every case that has one.
        drawn: the test share and seed that they were drawn by, where the file says so.
    """

    test: tuple[str, ...]
    folds: tuple[tuple[str, ...], ...]
    orders: tuple[tuple[str, ...], ...]
    groups: dict[str, str]
    drawn: dict[str, float] = field(default_factory=dict)

    def group(self, case: str) -> str:
        return self.groups.get(case, case)

    def labeled(self, *, fold: int, seed: int, budget: int | float | None) -> tuple[str, ...]:
        """The cases whose labels a training may use.

        Args:
            budget: a count of groups (patients; cases where there are no groups), a share in (0, 1] as
                a float, or None for all.

        Raises:
            ValueError: there is no such fold, or fewer labels than the budget.
        """
        held = self._held(fold)
        order = [c for c in self._order(seed) if self.group(c) not in held]
        groups = list(dict.fromkeys(self.group(c) for c in order))
        first = set(groups[: _count(budget, len(groups), fold)])
        return tuple(c for c in order if self.group(c) in first)

    def pool(self, names: Iterable[str], labeled: Sequence[str], *, fold: int) -> tuple[str, ...]:
        """The unlabeled cases of a training: all ``names`` but the labeled, the validated and the tested."""
        out, known = self._held(fold) | {self.group(c) for c in self.test}, set(labeled)
        return tuple(n for n in names if n not in known and self.group(n) not in out)

    def _order(self, seed: int) -> Sequence[str]:
        """That of the file; for seeds beyond it, the first one's groups shuffled by the seed."""
        if seed < len(self.orders):
            return self.orders[seed]
        members = defaultdict(list)
        for case in self.orders[0]:
            members[self.group(case)].append(case)
        shuffled = np.random.default_rng(seed).permutation(sorted(members))
        return [case for group in shuffled for case in members[group]]

    def _held(self, fold: int) -> set[str]:
        if not 0 <= fold < len(self.folds):
            raise ValueError(f"there is no fold {fold}; splits.yaml has folds 0 to {len(self.folds) - 1}")
        return {self.group(c) for c in self.folds[fold]}


def _count(budget: int | float | None, available: int, fold: int) -> int:
    if budget is None:
        return available
    count = max(1, round(budget * available)) if isinstance(budget, float) else budget
    if isinstance(budget, float) and not 0 < budget <= 1:
        raise ValueError(f"a share of labels lies in (0, 1], got {budget}")
    if not 1 <= count <= available:
        raise ValueError(f"fold {fold} has {available} labeled groups to train on, {count} were asked for")
    return count


def draw_splits(index: Index, *, test: float = 0.2, folds: int = FOLDS, seed: int = 0) -> Splits:
    """Draw the splits of a data set by group.

    The data set's own test part is kept where it has labels, else ``test`` of the labeled groups are
    drawn (the data set's unlabeled test cases stay out all the same). Its own validation part is the only fold.

    Raises:
        ValueError: nothing is left to train on.
    """
    rng = np.random.default_rng(seed)
    groups = {c.name: c.group for c in index.cases if c.group is not None}
    members = defaultdict(list)
    for case in index.cases:
        if case.label is not None and case.split != "test":
            members[groups.get(case.name, case.name)].append(case.name)
    tested = [c.name for c in index.cases if c.split == "test"]
    drawn: list[str] = []
    if not any(index[name].label for name in tested) and test > 0:
        own = [g for g, names in members.items() if any(index[n].split in VALIDATED for n in names)]
        free = [g for g in sorted(members) if g not in own]
        drawn = _take(rng, free, members, test)
        tested += [n for n in index_names(index, groups, drawn) if n not in tested]
    rest = [g for g in sorted(members) if g not in drawn]
    if not any(index[n].split not in VALIDATED for g in rest for n in members[g]):
        raise ValueError(
            f"{sum(map(len, members.values()))} labeled cases in {len(members)} groups leave nothing to train on "
            f"beside a test part of {test:g}; lower --test"
        )
    own = [n for g in rest for n in members[g] if index[n].split in VALIDATED]
    if own:
        parts = [own]
    elif len(rest) == 1:
        parts = [[]]  # one labeled group: nothing to validate on
    else:
        shuffled = list(rng.permutation(rest))
        parts = [[n for g in sorted(shuffled[i :: min(folds, len(rest))]) for n in members[g]]
                 for i in range(min(folds, len(rest)))]  # fmt: skip
    orders = [
        tuple(n for g in np.random.default_rng((seed, s)).permutation(rest) for n in members[g]) for s in range(SEEDS)
    ]
    by = {"test": test, "seed": seed}
    return Splits(tuple(tested), tuple(tuple(p) for p in parts), tuple(orders), groups, by)


def index_names(index: Index, groups: dict[str, str], wanted: Iterable[str]) -> list[str]:
    """All cases of some groups, labeled or not."""
    wanted = set(wanted)
    return [c.name for c in index.cases if groups.get(c.name, c.name) in wanted]


def _take(rng: np.random.Generator, groups: Sequence[str], members: dict[str, list[str]], share: float) -> list[str]:
    """Groups at random until they hold about ``share`` of the cases; at least one, never all."""
    goal = share * sum(len(members[g]) for g in groups)
    taken: list[str] = []
    count = 0
    for group in rng.permutation(groups)[: max(len(groups) - 1, 0)]:
        if taken and count + len(members[group]) / 2 > goal:
            break
        taken.append(str(group))
        count += len(members[group])
    return taken


def write_splits(splits: Splits, file: Path) -> None:
    """Write splits.yaml: one line a list."""
    flow = lambda names: yaml.safe_dump(list(names), default_flow_style=True, width=10**9).strip()
    lines = [
        "# test: sealed. folds: validation cases of each fold. labeled: for each seed the order in which",
        "# cases get their labels (a budget takes the first that are not validated). Edit with care.",
        f"drawn: {yaml.safe_dump(splits.drawn, default_flow_style=True).strip()}",
        f"test: {flow(splits.test)}",
        "folds:",
        *(f"  - {flow(part)}" for part in splits.folds),
        "labeled:",
        *(f"  - {flow(order)}" for order in splits.orders),
        f"groups: {yaml.safe_dump(splits.groups, default_flow_style=True, width=10**9).strip()}",
    ]
    write_text(file, "\n".join(lines) + "\n")


def read_splits(file: Path, cases: Iterable[Case]) -> Splits:
    """Read splits.yaml and check it against the data set's cases.

    A case that the file does not know of belongs to the group that the data set says: the next scan of a
    tested patient is not for training.

    Raises:
        ValueError: with every unknown or unlabeled name, and every group that straddles.
    """
    known = {c.name: c for c in cases}
    names = lambda part: tuple(str(c) for c in part)
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        splits = Splits(
            names(content["test"]),
            tuple(names(p) for p in content["folds"]),
            tuple(names(o) for o in content["labeled"]),
            {c.name: c.group for c in known.values() if c.group is not None}
            | {str(c): str(g) for c, g in (content.get("groups") or {}).items()},
            dict(content.get("drawn") or {}),
        )
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as e:
        raise ValueError(f"{file}: expected lists test, folds and labeled; {type(e).__name__}: {e}") from e
    trained = dict.fromkeys(c for p in (*splits.folds, *splits.orders) for c in p)
    faults = [f"no case is called {c!r}; {nearest(c, known)}"
              for c in dict.fromkeys((*splits.test, *trained)) if c not in known]  # fmt: skip
    faults += [f"case {c!r} has no label" for c in trained if c in known and known[c].label is None]
    tested = {splits.group(c) for c in splits.test}
    for number, part in enumerate(splits.folds):
        faults += [f"group {g!r} is in the test part and in fold {number}"
                   for g in sorted({splits.group(c) for c in part} & tested)]  # fmt: skip
    faults += [f"group {g!r} is in the test part and among the labeled"
               for g in sorted({splits.group(c) for o in splits.orders for c in o} & tested)]  # fmt: skip
    if not splits.folds or not splits.orders:
        faults.append("at least one fold and one order are needed")
    if faults:
        raise ValueError("\n".join(f"{file}: {fault}" for fault in faults))
    return splits
