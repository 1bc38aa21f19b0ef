"""Figures of classifiers by what was drawn, and one setup less another on the same draws and cases."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from halfmask.evaluation.classification import COUNTS, LOWER_IS_BETTER
from halfmask.evaluation.statistics.seeds import Interval, interval
from halfmask.evaluation.table import MEAN
from halfmask.report.gather import Entry
from halfmask.report.groups import Group
from halfmask.report.verdict import count

Draw = tuple[str, str]


@dataclass(frozen=True)
class Gap:
    """One setup less another in a metric, over the draws that both have.

    Attributes:
        over: the mean difference and its 95 % t interval; draws: how many it is over.
    """

    over: Interval
    draws: int

    @property
    def shown(self) -> bool:
        """Whether the interval leaves out 0; never with one draw."""
        return self.over.leaves_out_0

    def proof(self) -> str:
        """Whether the difference is shown, and why."""
        if math.isnan(self.over.mean):
            return "not shown: the metric is undefined in one of the two"
        if self.draws < 2:
            return "not shown: one seed cannot tell it from chance"
        low, high = (signed(100 * (self.over.mean + side * self.over.half)) for side in (-1, 1))
        told = f"the 95 % interval of the difference over {count(self.draws, 'seed')}, {low} to {high} points,"
        return f"shown: {told} leaves out 0" if self.shown else f"not shown: {told} includes 0"


def by_seed(group: Group, metric: str, structure: str = MEAN) -> dict[Draw, float]:
    """The metric of each draw and seed; folds are averaged, as they share both."""
    found: dict[Draw, list[float]] = {}
    for entry in group.entries:
        found.setdefault(_draw(entry), []).append(_value(entry, metric, structure))
    return {draw: float(np.mean(values)) for draw, values in found.items()}


def over_seeds(group: Group, metric: str, structure: str = MEAN) -> Interval:
    """Its mean and 95 % interval."""
    return interval(list(by_seed(group, metric, structure).values()))


def gap(ours: Group, rival: Group, metric: str) -> Gap | None:
    """The difference of two setups, run by run of the same seed, draw, fold and cases; None without such a pair."""
    found: dict[Draw, list[float]] = {}
    rivals = {(_draw(e), e.run.get("fold")): e for e in reversed(rival.entries)}
    for entry in ours.entries:
        other = rivals.get((_draw(entry), entry.run.get("fold")))
        if other is not None and _same_cases(entry, other):
            found.setdefault(_draw(entry), []).append(_value(entry, metric) - _value(other, metric))
    if not found:
        return None
    return Gap(interval([float(np.mean(values)) for values in found.values()]), len(found))


def best_groups(groups: Sequence[Group], metric: str, structure: str = MEAN) -> list[Group]:
    """From the best mean on; those without one last."""
    sign = -1 if metric in LOWER_IS_BETTER else 1
    means = {id(g): sign * over_seeds(g, metric, structure).mean for g in groups}
    return sorted(groups, key=lambda g: (math.isnan(means[id(g)]), -means[id(g)]))


def marked(figures: Mapping[str, Interval], metric: str) -> set[str]:
    """The titles with the best mean, as it is shown; none where all are alike or the metric has no order."""
    means = {title: round(found.mean, 3) for title, found in figures.items() if not math.isnan(found.mean)}
    if len(means) < 2 or metric in COUNTS or len(set(means.values())) == 1:
        return set()
    target = (min if metric in LOWER_IS_BETTER else max)(means.values())
    return {title for title, mean in means.items() if mean == target}


def told(found: Interval, digits: int = 3) -> str:
    """``0.912 ± 0.010``; without an interval the mean alone."""
    if math.isnan(found.mean):
        return "undefined"
    return f"{found.mean:.{digits}f}" + ("" if math.isnan(found.half) else f" ± {found.half:.{digits}f}")


def signed(points: float) -> str:
    """``+3.1``, ``−0.4``, ``0.0``."""
    shown = f"{points:+.1f}"
    return "0.0" if shown in ("+0.0", "-0.0") else shown.replace("-", "−")


def _value(entry: Entry, metric: str, structure: str = MEAN) -> float:
    return (entry.measured or {}).get(structure, {}).get(metric, math.nan)


def _draw(entry: Entry) -> Draw:
    seed, draw = entry.run.get("seed"), entry.run.get("draw")
    return str(seed), str(seed if draw is None else draw)


def _same_cases(one: Entry, other: Entry) -> bool:
    return (
        one.classified is not None and other.classified is not None
        and set(one.classified.cases) == set(other.classified.cases)
    )  # fmt: skip
