"""What a study found, in plain sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from halfmask.evaluation.statistics.break_even import break_even, next_labels
from halfmask.evaluation.statistics.chance import least_p
from halfmask.evaluation.statistics.gap import closed
from halfmask.evaluation.statistics.learning import Axis, learning_curve
from halfmask.evaluation.statistics.paired import CHANCE, Difference, corrected, difference
from halfmask.evaluation.statistics.sentence import (
    break_even_sentence,
    caveats,
    closed_sentence,
    difference_sentence,
    next_sentence,
)
from halfmask.report.cells import cells
from halfmask.report.study import Study
from halfmask.report.verdict import count


@dataclass(frozen=True)
class Headline:
    """Whole sentences.

    Attributes:
        differences: at each budget, how many labels the better arm saves, and how much of the gap to the ceiling it
            closes; which arms are worse.
        labels: what the next labels would bring.
        caveats: how far all that goes.
    """

    differences: list[str]
    labels: list[str]
    caveats: list[str]

    def text(self) -> str:
        """A line for each budget, one for the next labels of an arm, and one for all caveats."""
        return "\n".join([*self.differences, *self.labels, *([" ".join(self.caveats)] if self.caveats else [])])


def headline(study: Study, against: Sequence[Difference]) -> Headline:
    """The best arm at each budget against the baseline; without a baseline against the next best.

    Args:
        against: every arm against the baseline at every budget, corrected.
    """
    if study.table.empty:
        states = Counter(str(run["state"]) for run in study.runs)
        so_far = ", ".join(f"{n} {state}" for state, n in states.items())
        return Headline([f"Nothing was measured yet: of {count(len(study.runs), 'run')} {so_far}."], [], [])
    rivals = [d for d in against if d.arm != study.ceiling] or against
    best = _best(study, rivals) if rivals else _leaders(study)
    by = _axis(study)
    if not best:
        alone = [_on_target(study, _alone(study))]
        return Headline(alone, _next(study, study.measured()[:1], by), [*_domains(study), *_unfinished(study)])
    ended = lambda said: f"{said[:1].upper() if not said.startswith(tuple(study.arms)) else said[:1]}{said[1:]}."
    each = [" ".join([ended(difference_sentence(d)), *_saved(study, d, by), *map(ended, _gap(study, d))]) for d in best]
    how_far = [*map(ended, _caveats(best)), *_picked(rivals), *_powerless(against), *_domains(study)]
    return Headline(
        [_on_target(study, each[0]), *each[1:], *_worse(study, against, best)],
        _next(study, [best[-1].arm, best[-1].rival] if against else study.measured()[:1], by),
        how_far + _unfinished(study),
    )


def _best(study: Study, against: Sequence[Difference]) -> list[Difference]:
    """Of each budget the arm with the largest gain; one whose gain is shown comes before all whose is not."""
    rows = [[d for d in against if d.budget == budget] for budget in study.budgets]
    return [max(row, key=lambda d: (d.shown and d.gain > 0, d.gain)) for row in rows if row]


def _on_target(study: Study, said: str) -> str:
    """With the target before it, if the study has one."""
    return f"On the target {', '.join(study.target)}: {said}" if study.target else said


def _gap(study: Study, d: Difference) -> list[str]:
    """How much of the gap between baseline and ceiling an arm closes."""
    if study.ceiling is None or d.rival != study.baseline or d.arm == study.ceiling:
        return []
    found = closed(study.table, arm=d.arm, baseline=d.rival, ceiling=study.ceiling, budget=d.budget)
    return [] if found is None else [closed_sentence(found)]


def _domains(study: Study) -> list[str]:
    """Which of the measured cases all that is about, where there is a target."""
    wanted = study.told.get("target")
    if study.target:
        cases, every = (table["case"].nunique() for table in (study.table, study.every))
        return [f"All this is on the {count(cases, 'case')}{study.of_target}, of {every} that were measured."]
    if wanted and not study.classifies:
        return [f"No measured case is of the target {', '.join(wanted)}, so all this is on the cases that there are."]
    return []


def _worse(study: Study, against: Sequence[Difference], told: Sequence[Difference]) -> list[str]:
    """The arms that are shown to be worse than the baseline, but for those already told of."""
    found: dict[str, list[str]] = {}
    for d in against:
        if d.shown and d.gain < 0 and d not in told:
            found.setdefault(d.arm, []).append(d.budget)
    each = [f"{arm} with {', '.join(budgets)}" for arm, budgets in found.items()]
    return [f"Shown to be worse than {study.baseline}: {'; '.join(each)}."] if each else []


def _caveats(best: Sequence[Difference]) -> list[str]:
    """The caveats of comparisons, each once; with its budgets if it is not one of all."""
    found: dict[str, list[str]] = {}
    for d in best:
        for said in caveats(d):
            found.setdefault(said, []).append(d.budget)
    return [
        said if len(budgets) == len(best) else f"with {', '.join(budgets)}: {said}" for said, budgets in found.items()
    ]


def _powerless(against: Sequence[Difference]) -> list[str]:
    """That so few units cannot show a difference among so many comparisons, whatever it is."""
    tested = [d for d in against if d.p is not None]
    if not tested:
        return []
    most = max(tested, key=lambda d: d.units)
    least = least_p(most.units) * len(tested)
    if least < CHANCE:
        return []
    return [
        f"With {count(most.units, most.unit)} and {len(tested)} comparisons no p can be below {min(1.0, least):.2f}: "
        "no difference could be shown, however large."
    ]


def _picked(against: Sequence[Difference]) -> list[str]:
    """That the best of several is told."""
    arms = len({d.arm for d in against})
    if arms < 2:
        return []
    return [f"At each budget the best of {arms} arms is told: p is corrected for the choice, the interval is not."]


def _leaders(study: Study) -> list[Difference]:
    """Of each budget the arm with the highest mean against the next."""
    found, every = [], cells(study)
    for budget in study.budgets:
        means = {
            arm: cell.mean for (arm, b), cell in every.items()
            if b == budget and len(cell.values) and arm != study.ceiling
        }  # fmt: skip
        first, second = [*sorted(means, key=lambda arm: -means[arm])[:2], None, None][:2]
        if first is not None and second is not None:
            found.append(difference(study.table, arm=first, rival=second, budget=budget))
    return corrected([d for d in found if d is not None])


def _alone(study: Study) -> str:
    """No two arms with the same budget, fold, draw and seed."""
    told = [
        f"{arm} with {budget}: {cell.mean:.3f} on {count(len(cell.values), study.unit)}"
        for (arm, budget), cell in cells(study).items() if len(cell.values)
    ]  # fmt: skip
    several = study.table.groupby("budget")["arm"].nunique().max() > 1
    why = (
        "No two arms have runs of the same fold, draw and seed, so they cannot be compared."
        if several
        else "There is no other arm with figures here to compare it with."
    )
    return f"Mean Dice of {'; '.join(told)}. {why}"


def _axis(study: Study) -> Axis:
    """Slices where budgets differ in nothing else; the labels of one budget may differ from fold to fold."""
    most = study.table[study.table["slices"] == study.table["slices"].max()]
    return "labels" if most["budget"].nunique() > 1 else "slices"


def _saved(study: Study, d: Difference, by: Axis) -> list[str]:
    """How many labels of the baseline an arm that beats it saves."""
    if d.rival != study.baseline or not d.shown or d.gain <= 0:
        return []
    even = break_even(study.table, arm=d.arm, baseline=d.rival, budget=d.budget, by=by)
    return [] if even is None else [f"{break_even_sentence(even)}."]


def _next(study: Study, arms: Sequence[str], by: Axis) -> list[str]:
    """What more labels would bring these arms."""
    curves = [learning_curve(study.table, arm=arm, by=by) for arm in dict.fromkeys(arms)]
    found = [next_labels(curve) for curve in curves if curve is not None]
    return [f"{next_sentence(then)}." for then in found if then is not None]


def _unfinished(study: Study) -> list[str]:
    """That the study is not whole."""
    lacking = sum(run["state"] != "done" for run in study.runs)
    return [f"{lacking} of {count(len(study.runs), 'run')} have no figures yet."] if lacking else []
