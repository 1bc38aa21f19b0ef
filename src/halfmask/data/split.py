"""Test part, folds, and nested labeled subsets, by group and in a file a person can edit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from halfmask.config import nearest
from halfmask.data.atomic import write_text
from halfmask.data.index import Case, Index

LISTED = {"order": "listed"}
"""What `Splits.drawn` says where cases get their labels in the order of the data set's own lists, whatever the draw."""


@dataclass(frozen=True)
class Splits:
    """Who is tested, validated and labeled.

    Attributes:
        test: cases that nothing but `evaluate` may see.
        folds: the validation cases of each fold, labeled.
        orders: for each draw the labeled cases outside the test part, group by group; a budget takes
            the first ones that are not validated, so that smaller subsets lie within larger ones.
        groups: case to group, for every case that has one.
        drawn: what they were drawn by, where the file says so: test, seed, folds, stratify, order; see
            `halfmask.data.draw`.
        domains: case to scanner or site, for every case that has one; the data set says so, not the file.
    """

    test: tuple[str, ...]
    folds: tuple[tuple[str, ...], ...]
    orders: tuple[tuple[str, ...], ...]
    groups: dict[str, str]
    drawn: dict[str, Any] = field(default_factory=dict)
    domains: dict[str, str] = field(default_factory=dict)

    def group(self, case: str) -> str:
        return self.groups.get(case, case)

    def groups_of(self, cases: Iterable[str]) -> dict[str, str]:
        """Case to group, for those of some cases that have one."""
        return {case: self.groups[case] for case in cases if case in self.groups}

    @property
    def listed(self) -> bool:
        """Whether labels come in the order of the data set's own lists."""
        return all(self.drawn.get(key) == value for key, value in LISTED.items())

    def held(self, fold: int) -> set[str]:
        """The groups that a fold holds out.

        Raises:
            ValueError: there is no such fold.
        """
        if not 0 <= fold < len(self.folds):
            raise ValueError(f"there is no fold {fold}; splits.yaml has folds 0 to {len(self.folds) - 1}")
        return {self.group(c) for c in self.folds[fold]}

    def labeled(
        self, *, fold: int, draw: int, budget: int | float | None, domains: Collection[str] | None = None
    ) -> tuple[str, ...]:
        """The cases whose labels a training may use.

        Args:
            draw: which of the orders; for draws beyond them, a shuffled one.
            budget: a count of groups (patients; cases where there are no groups), a share in (0, 1] as
                a float, or None for all.
            domains: of the cases that count; all unless given.

        Raises:
            ValueError: there is no such fold, or fewer labels than the budget.
        """
        held = self.held(fold)
        counts = lambda case: domains is None or self.domains.get(case) in domains
        order = [c for c in self._order(draw) if self.group(c) not in held and counts(c)]
        groups = list(dict.fromkeys(self.group(c) for c in order))
        first = set(groups[: _count(budget, len(groups), fold, domains)])
        return tuple(c for c in order if self.group(c) in first)

    def pool(self, names: Iterable[str], labeled: Sequence[str], *, fold: int) -> tuple[str, ...]:
        """The unlabeled cases of a training: all ``names`` but the labeled, the validated and the tested."""
        out, known = self.held(fold) | {self.group(c) for c in self.test}, set(labeled)
        return tuple(n for n in names if n not in known and self.group(n) not in out)

    def _order(self, draw: int) -> Sequence[str]:
        """That of the file; for draws beyond it, the first one's groups shuffled by the draw, or as listed."""
        if draw < len(self.orders):
            return self.orders[draw]
        if self.listed:
            return self.orders[0]
        members = defaultdict(list)
        for case in self.orders[0]:
            members[self.group(case)].append(case)
        shuffled = np.random.default_rng(draw).permutation(sorted(members))
        return [case for group in shuffled for case in members[group]]


def _count(budget: int | float | None, available: int, fold: int, domains: Collection[str] | None) -> int:
    if budget is None:
        return available
    count = max(1, round(budget * available)) if isinstance(budget, float) else budget
    if isinstance(budget, float) and not 0 < budget <= 1:
        raise ValueError(f"a share of labels lies in (0, 1], got {budget}")
    if not 1 <= count <= available:
        of = "" if domains is None else f"; those of {', '.join(domains)} alone count"
        raise ValueError(f"fold {fold} has {available} labeled groups to train on, {count} were asked for{of}")
    return count


def domains_of(cases: Iterable[Case]) -> dict[str, str]:
    """Case to domain, for those that have one."""
    return {case.name: case.domain for case in cases if case.domain is not None}


def counted(index: Index) -> dict[str, tuple[int, int]]:
    """The cases of each domain, and how many of them have a label."""
    of = lambda domain: [case for case in index.cases if case.domain == domain]
    return {
        name: (len(of(name)), sum(c.labeled for c in of(name)))
        for name in sorted(set(domains_of(index.cases).values()))
    }


def write_splits(splits: Splits, file: Path) -> None:
    """Write splits.yaml: one line a list."""
    flow = lambda names: yaml.safe_dump(list(names), default_flow_style=True, width=10**9).strip()
    lines = [
        "# test: sealed. folds: validation cases of each fold. labeled: for each draw the order in which",
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
            domains_of(known.values()),
        )
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as e:
        raise ValueError(f"{file}: expected lists test, folds and labeled; {type(e).__name__}: {e}") from e
    trained = dict.fromkeys(c for p in (*splits.folds, *splits.orders) for c in p)
    faults = [f"no case is called {c!r}; {nearest(c, known)}"
              for c in dict.fromkeys((*splits.test, *trained)) if c not in known]  # fmt: skip
    faults += [f"case {c!r} has no label" for c in trained if c in known and not known[c].labeled]
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
