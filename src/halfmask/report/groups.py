"""Runs that differ in nothing but what was drawn are one group; groups are compared on the same draws and cases."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from halfmask.evaluation.statistics.chance import holm, signed_rank
from halfmask.report.gather import Entry
from halfmask.report.sides import Sides, known_domains, sides

DRAWN = ("seed", "draw", "fold", "labeled_cases")
"""What of run.yaml tells draws of one setup apart."""
BUDGET = ("labels", "slices", "slice_axis")
"""What of run.yaml must be equal for a comparison of methods to be about the methods."""
ASIDE = ("store", "processes")
AT_TEST = ("test_time", "test_time_steps", "test_time_rate")
"""What of prediction.json makes another network of a run's."""


@dataclass(frozen=True)
class Group:
    """Runs of one setup with different draws.

    Attributes:
        title: the method's name, and what tells it from the method's other groups.
        source: the domains whose labels it read; None for all.
    """

    title: str
    entries: tuple[Entry, ...]
    source: tuple[str, ...] | None = None

    @property
    def method(self) -> str:
        return self.entries[0].method

    @property
    def budget(self) -> tuple[Any, ...]:
        return (*(self.entries[0].run.get(key) for key in BUDGET), self.source)

    @property
    def plain(self) -> bool:
        """Whether it is supervised training and nothing more: what others are set against."""
        return self.method == "supervised" and not self.entries[0].prediction.get(AT_TEST[0])

    @property
    def steps(self) -> Any:
        return (self.entries[0].run.get("recipe") or {}).get("steps")

    def draws(self) -> dict[str, list[Entry]]:
        """The runs by what was drawn."""
        found: dict[str, list[Entry]] = {}
        for entry in self.entries:
            found.setdefault(_draw(entry), []).append(entry)
        return found

    def dice(self, draws: Iterable[str] | None = None) -> pd.Series:
        """Mean Dice by case, averaged over the runs of ``draws`` (all unless given); cases that each of them has."""
        runs = self.draws()
        kept = [entry for draw in (runs if draws is None else draws) for entry in runs[draw]]
        return pd.concat([entry.dice() for entry in kept], axis=1, join="inner").mean(axis=1)


@dataclass(frozen=True)
class Contrast:
    """One group against another, on the same draws and cases.

    Attributes:
        dice, rival_dice: means over the cases, in [0, 1].
        better: cases where the first has the higher Dice; cases: all.
        p: of the two-sided Wilcoxon signed-rank test over the cases; None if they are too few.
        seeds: of the draws.
        caveats: why it may not be fair, in words.
    """

    ours: Group
    rival: Group
    dice: float
    rival_dice: float
    better: int
    cases: int
    p: float | None
    seeds: tuple[Any, ...]
    caveats: tuple[str, ...] = ()

    @property
    def points(self) -> float:
        """The difference in points of Dice, hundredths."""
        return 100 * (self.dice - self.rival_dice)


def grouped(entries: Sequence[Entry]) -> list[Group]:
    """The entries that have figures, by setup, in their order."""
    found: dict[str, list[Entry]] = {}
    known = known_domains(entries)
    of = {entry.name: sides(entry, known) for entry in entries}
    for entry in entries:
        if entry.table is not None or entry.measured is not None:
            found.setdefault(_setup(entry, of[entry.name]), []).append(entry)
    groups = [Group(runs[0].method, tuple(runs), of[runs[0].name].source) for runs in found.values()]
    return [replace(group, title=_title(group, groups, of)) for group in groups]


def contrast(ours: Group, rival: Group) -> Contrast | None:
    """Compare two groups; None if they have no draw or no case in common."""
    draws = [draw for draw in ours.draws() if draw in rival.draws()]
    if not draws:
        return None
    both = pd.concat([ours.dice(draws), rival.dice(draws)], axis=1, join="inner").dropna()
    if both.empty:
        return None
    difference = both[0] - both[1]
    seeds = tuple(ours.draws()[draw][0].run.get("seed") for draw in draws)
    told = []
    if ours.steps != rival.steps:
        told.append(f"{ours.title} had {ours.steps} steps, {rival.title} {rival.steps}")
    apart = [len(g.dice(draws)) - len(both) for g in (ours, rival)]
    if any(apart):
        told.append(f"{sum(apart)} cases that only one of the two has were left out")
    return Contrast(
        ours, rival, float(both[0].mean()), float(both[1].mean()), int((difference > 0).sum()), len(both),
        signed_rank(difference), seeds, tuple(told),
    )  # fmt: skip


def against_supervised(groups: Sequence[Group]) -> list[Contrast]:
    """Every other method against supervised training with the same labels, p by Holm's correction over them all."""
    rivals = [g for g in groups if g.plain]
    found = [
        c
        for group in groups
        if not group.plain
        for rival in _fittest(group, [r for r in rivals if r.budget == group.budget])
        if (c := contrast(group, rival)) is not None
    ]
    corrected = holm([math.nan if c.p is None else c.p for c in found])
    return [Contrast(**{**vars(c), "p": c.p and p}) for c, p in zip(found, corrected, strict=True)]


def _fittest(group: Group, rivals: list[Group]) -> list[Group]:
    """At most one: with as many steps if there is one, else the first."""
    return sorted(rivals, key=lambda r: r.steps != group.steps)[:1]


def flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as ``{"recipe.rate": 0.01}``."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        found |= flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return found


def _draw(entry: Entry) -> str:
    run = entry.run
    draw = run.get("seed") if run.get("draw") is None else run["draw"]
    return json.dumps([run.get("seed"), draw, run.get("fold"), sorted(map(str, run.get("labeled_cases") or ()))])


def _setup(entry: Entry, side: Sides) -> str:
    """All of the settings but what is drawn; masks without a known run stand for themselves."""
    return json.dumps((entry.run and _settings(entry, side)) or [entry.name], sort_keys=True, default=str)


def _settings(entry: Entry, side: Sides) -> dict[str, Any]:
    """What tells setups apart. The target is no part of one that never learned from its images."""
    kept = {key: value for key, value in entry.run.items() if key not in (*DRAWN, *ASIDE, "source", "target")}
    kept |= {} if side.source is None else {"source": " + ".join(side.source)}
    kept |= {"target": " + ".join(side.target)} if side.target is not None and side.adapts else {}
    return kept | {key: entry.prediction[key] for key in AT_TEST if entry.prediction.get(key) is not None}


def _title(group: Group, groups: Sequence[Group], of: Mapping[str, Sides]) -> str:
    """The method, with the settings in which its groups differ; with its source where others have another."""
    alike = [other for other in groups if other.method == group.method]
    sources = len({other.source for other in groups}) > 1 and group.source is not None
    if len(alike) == 1:
        return group.method + (f" (source {' + '.join(group.source or ())})" if sources else "")
    settings = [flat(_settings(g.entries[0], of[g.entries[0].name])) for g in alike]
    keys = [
        key for key in dict.fromkeys(k for s in settings for k in s) if len({str(s.get(key)) for s in settings}) > 1
    ]
    own = settings[[g.entries for g in alike].index(group.entries)]
    told = ", ".join(f"{key.rpartition('.')[2]} {own[key]}" for key in keys if key in own)
    return f"{group.method} ({told or group.entries[0].name})"
