"""The sentences that come first on a page on classifiers."""

from __future__ import annotations

import math
from collections.abc import Sequence

from halfmask.report.class_groups import best_groups, by_seed, gap, over_seeds, told
from halfmask.report.groups import Group
from halfmask.report.verdict import count

NAMES = {"auc": "mean AUC", "recall": "balanced recall"}


def class_verdict(groups: Sequence[Group]) -> list[str]:
    """Which setup has the best AUC and the best balanced recall, and whether its lead over the first is shown.

    What is said first, and what comes after.
    """
    if not groups:
        return ["Nothing was measured in these folders, so there is nothing to compare: run halfmask evaluate first."]
    if len(groups) == 1:
        (only,) = groups
        reached = ", ".join(f"a {name} of {told(over_seeds(only, metric))}" for metric, name in NAMES.items())
        return [f"{only.title} reached {reached}{_seeds(only)}.", "There is no other setup here to compare it with."]
    said = [_sentence(groups, metric) for metric in NAMES]
    if len(groups) > 2:
        said.append("The best of several setups is told; the interval of its lead knows nothing of that choice.")
    if len({group.budget for group in groups}) > 1:
        said.append("Not quite like for like: the setups differ in their labels.")
    return said


def _sentence(groups: Sequence[Group], metric: str) -> str:
    ranked, first, name = best_groups(groups, metric), groups[0], NAMES[metric]
    best, figure = ranked[0], lambda g: told(over_seeds(g, metric))
    if math.isnan(over_seeds(best, metric).mean):
        return f"The {name} is undefined in all setups."
    ahead = best is not first
    rival = first if ahead else ranked[1]
    difference = gap(best, rival, metric)
    lead = 100 * (over_seeds(best, metric).mean - over_seeds(rival, metric).mean)
    if difference is not None and not math.isnan(difference.over.mean):
        lead = 100 * difference.over.mean
    proof = "not shown: they have no seed and cases in common" if difference is None else difference.proof()
    more = "" if math.isnan(lead) else f"{distance(lead)} "
    of_rival = f"{rival.title}, {'the first' if ahead else 'the next'} ({figure(rival)})"
    return f"{best.title} has the highest {name}, {figure(best)}{_seeds(best)}: {more}{of_rival}. That is {proof}."


def distance(lead: float) -> str:
    """A difference in points: ``3.1 points above``; none as ``as much as``."""
    size = f"{abs(lead):.1f}"
    return "as much as" if size == "0.0" else f"{size} points {'above' if lead > 0 else 'below'}"


def _seeds(group: Group) -> str:
    n = len(by_seed(group, "auc"))
    return f" (95 % interval over {n} seeds)" if n > 1 else f" ({count(n, 'seed')})"
