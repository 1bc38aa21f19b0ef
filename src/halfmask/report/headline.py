"""What a study found, in plain sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from halfmask.evaluation.statistics.break_even import break_even, next_labels
from halfmask.evaluation.statistics.learning import Axis, learning_curve
from halfmask.evaluation.statistics.paired import Difference, corrected, difference
from halfmask.evaluation.statistics.sentence import (
    break_even_sentence,
    caveats,
    difference_sentence,
    next_sentence,
)
from halfmask.report.cells import cells
from halfmask.report.study import Study
from halfmask.report.verdict import count


@dataclass(frozen=True)
class Headline:
    """Whole sentences: the differences at each budget, what labels are worth, and how far all that goes."""

    differences: list[str]
    labels: list[str]
    caveats: list[str]

    def text(self) -> str:
        """In one paragraph."""
        return " ".join([*self.differences, *self.labels, *self.caveats])


def headline(study: Study, against: Sequence[Difference]) -> Headline:
    """The best arm at each budget against the baseline; without a baseline against the next best.

    Args:
        against: every arm against the baseline at every budget, corrected.
    """
    if study.table.empty:
        states = Counter(str(run["state"]) for run in study.runs)
        so_far = ", ".join(f"{n} {state}" for state, n in states.items())
        return Headline([f"Nothing was measured yet: of {count(len(study.runs), 'run')} {so_far}."], [], [])
    best = _best(study, against) if against else _leaders(study)
    if not best:
        return Headline([_alone(study)], _labels(study, []), [])
    ended = lambda said: f"{said[:1].upper() if not said.startswith(tuple(study.arms)) else said[:1]}{said[1:]}."
    told = [said for d in best for said in caveats(d)]
    return Headline(
        [ended(difference_sentence(d)) for d in best],
        _labels(study, best if against else []),
        [ended(said) for said in dict.fromkeys(told)] + _unfinished(study),
    )


def _best(study: Study, against: Sequence[Difference]) -> list[Difference]:
    """Of each budget the arm with the largest gain."""
    rows = [[d for d in against if d.budget == budget] for budget in study.budgets]
    return [max(row, key=lambda d: d.gain) for row in rows if row]


def _leaders(study: Study) -> list[Difference]:
    """Of each budget the arm with the highest mean against the next."""
    found, every = [], cells(study)
    for budget in study.budgets:
        means = {arm: cell.mean for (arm, b), cell in every.items() if b == budget and len(cell.values)}
        first, second = [*sorted(means, key=lambda arm: -means[arm])[:2], None, None][:2]
        if first is not None and second is not None:
            found.append(difference(study.table, arm=first, rival=second, budget=budget))
    return corrected([d for d in found if d is not None])


def _alone(study: Study) -> str:
    """No two arms at the same budget."""
    told = [
        f"{arm} with {budget}: {cell.mean:.3f} on {count(len(cell.values), study.unit)}"
        for (arm, budget), cell in cells(study).items() if len(cell.values)
    ]  # fmt: skip
    return f"Mean Dice of {'; '.join(told)}. There is no other arm with figures here to compare it with."


def _labels(study: Study, best: Sequence[Difference]) -> list[str]:
    """How many labels of the baseline each best arm saves, and what more labels would bring the last of them."""
    found = []
    by: Axis = "labels" if study.table["labels"].nunique() > 1 else "slices"
    for d in best:
        even = break_even(study.table, arm=d.arm, baseline=d.rival, budget=d.budget, by=by)
        if even is not None and d.gain > 0 and d.shown:
            found.append(f"{break_even_sentence(even)}.")
    for arm in dict.fromkeys([best[-1].arm, best[-1].rival] if best else study.measured()[:1]):
        curve = learning_curve(study.table, arm=arm, by=by)
        then = next_labels(curve) if curve is not None else None
        if then is not None:
            found.append(f"{next_sentence(then)}.")
    return found


def _unfinished(study: Study) -> list[str]:
    """That the study is not whole."""
    lacking = sum(run["state"] != "done" for run in study.runs)
    return [f"{lacking} of {count(len(study.runs), 'run')} have no figures yet."] if lacking else []
