"""The sentence that comes first: what the figures say, and how far that goes."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from halfmask.evaluation.statistics.chance import p_value
from halfmask.report.groups import Contrast, Group, against_supervised, contrast

CHANCE = 0.05


def verdict(groups: Sequence[Group]) -> str:
    """Which method is best, and by how much it beats supervised training with the same labels, or that none does."""
    if not groups:
        return "Nothing was measured in these folders, so there is nothing to compare: run halfmask evaluate first."
    if len(groups) == 1:
        return f"{_alone(groups[0])}. There is no other method here to compare it with."
    contrasts = against_supervised(groups)
    if not contrasts:
        return _without_supervised(groups)
    best = max(contrasts, key=lambda c: c.points)
    said = _better(best) if best.points > 0 else _not_better(best, len(contrasts))
    caveats = list(best.caveats)
    if len({c.seeds for c in contrasts}) > 1:
        caveats.append("not every method was tried on the same draws")
    return f"{said} {_reach(best)}" + "".join(f" Not quite like for like: {told}." for told in caveats)


def _better(best: Contrast) -> str:
    return (
        f"{best.ours.title} did best, with a mean Dice of {best.dice:.3f}: {best.points:.1f} points above supervised "
        f"training with the same labels ({best.rival_dice:.3f}), better on {best.better} of {best.cases} cases "
        f"({_test(best)})."
    )


def _not_better(best: Contrast, tried: int) -> str:
    subject = "It" if tried == 1 else f"The nearest, {best.ours.title},"
    none = f"{best.ours.title} was not better than" if tried == 1 else f"None of {tried} methods was better than"
    gap = "just as much" if best.points == 0 else f"{-best.points:.1f} points less"
    return (
        f"{none} supervised training with the same labels, which reached a mean Dice of {best.rival_dice:.3f}. "
        f"{subject} reached {gap} ({best.dice:.3f}), better on {best.better} of {best.cases} cases ({_test(best)})."
    )


def _without_supervised(groups: Sequence[Group]) -> str:
    """Of all groups the best by mean Dice over the cases that they share."""
    both = pd.concat([g.dice() for g in groups], axis=1, join="inner")
    if both.empty:
        return (
            "These runs have no case in common, so they cannot be compared: "
            + "; ".join(_alone(g) for g in groups) + "."
        )  # fmt: skip
    first, second = both.mean().sort_values(ascending=False).index[:2]
    found = contrast(groups[first], groups[second])
    ours, rival = groups[first].title, groups[second].title
    if found is not None and found.points >= 0:
        said = (
            f"{ours} has the highest mean Dice, {found.dice:.3f}: {found.points:.1f} points above {rival} "
            f"({found.rival_dice:.3f}), better on {found.better} of {found.cases} cases ({_test(found)}). "
            f"{_reach(found)}"
        )
    else:
        said = (
            f"{ours} has the highest mean Dice, {both[first].mean():.3f} on {len(both)} cases, {rival} has "
            f"{both[second].mean():.3f}; they were trained on different draws, so this is no test of the methods."
        )
    return (
        f"{said} No supervised run with the same labels and draw is among these, so nothing can be said of what the "
        "unlabeled images gained."
    )


def _alone(group: Group) -> str:
    dice = group.dice()
    spread = f" ± {dice.std():.3f}" if len(dice) > 1 else ""
    return f"{group.title} reached a mean Dice of {dice.mean():.3f}{spread} on {count(len(dice), 'case')}"


def _test(found: Contrast) -> str:
    if found.p is None:
        return "too few cases for a test"
    return f"Wilcoxon signed-rank, {p_value(found.p)}"


def _reach(found: Contrast) -> str:
    """How far it goes: chance over cases, and over draws."""
    seeds = ", ".join(str(s) for s in found.seeds if s is not None)
    if len(found.seeds) == 1:
        where = f"in this one draw of labels and weights{f' (seed {seeds})' if seeds else ''}"
        rest = "other draws may differ"
    else:
        where = f"over {len(found.seeds)} draws (seeds {seeds}), each case's Dice being their mean"
        rest = "more draws may differ"
    if found.p is None or found.p >= CHANCE:
        return f"That is {where}, and a difference that chance may explain."
    return f"That is {where}; {rest}."


def count(n: int, what: str) -> str:
    """``1 case``, ``2 cases``."""
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
