"""One arm against another at one budget, paired by run and case."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from halfmask.evaluation.statistics.aligned import Aligned
from halfmask.evaluation.statistics.bootstrap import interval, resampled_means
from halfmask.evaluation.statistics.chance import holm, signed_rank
from halfmask.evaluation.statistics.direction import sign
from halfmask.evaluation.statistics.outcomes import CASE, case_results, cells, check, unit_word

RESAMPLES = 10_000
CHANCE = 0.05


@dataclass(frozen=True)
class Difference:
    """An arm less its rival, over the units that both were measured on.

    Attributes:
        mean: arm less rival in the metric's own unit, averaged over the units. Volume errors by their size.
        low, high: 95 % bootstrap interval of the mean; NaN with fewer than two units.
        p: of the two-sided Wilcoxon signed-rank test over the units, which knows nothing of draws; None if they are
            too few.
        better, worse: units where the arm is better or worse than its rival, whichever way the metric goes.
        units: all.
        unit: what they are, "patient" or "case".
        repetitions: how often each unit was measured.
        runs: pairs of runs with the same fold, draw and seed.
        unpaired: runs of either without a partner, not used.
        left_out: results of a case in a pair of runs, undefined or missing in one of the two, not used.
        corrected: whether p is Holm's, see `corrected`.
    """

    arm: str
    rival: str
    budget: str
    metric: str
    structure: str | None
    mean: float
    low: float
    high: float
    p: float | None
    better: int
    worse: int
    units: int
    unit: str
    repetitions: int
    runs: int
    unpaired: int
    left_out: int
    corrected: bool = False

    @property
    def gain(self) -> float:
        """The mean, positive where the arm is better."""
        return sign(self.metric) * self.mean

    @property
    def shown(self) -> bool:
        """Whether a difference is shown: p below 0.05, 0 outside the interval, and most units go the mean's way."""
        if self.p is None or self.p >= CHANCE:
            return False
        return (self.low > 0 or self.high < 0) and (self.better - self.worse) * self.gain > 0


def difference(
    table: pd.DataFrame,
    *,
    arm: str,
    rival: str,
    budget: str,
    metric: str = "dice",
    structure: str | None = None,
) -> Difference | None:
    """Compare two arms on the runs, cases and structures that both have; None if there are none.

    Raises:
        ValueError: see `outcomes.case_results`.
    """
    found = differences(table, [(arm, rival)], budget=budget, metric=metric, structure=structure)
    return found[0] if found else None


def differences(
    table: pd.DataFrame,
    pairs: Sequence[tuple[str, str]],
    *,
    budget: str,
    metric: str = "dice",
    structure: str | None = None,
) -> list[Difference]:
    """The `difference` of each pair, arm and rival, that has something in common; each arm is looked up once.

    Raises:
        ValueError: see `outcomes.case_results`.
    """
    arms = dict.fromkeys(arm for pair in pairs for arm in pair)
    if not arms:
        return []
    results = {arm: case_results(table, arm=arm, budget=budget, metric=metric, structure=structure) for arm in arms}
    aligned, unit = Aligned(results), unit_word(table)
    found = [_difference(aligned, arm, rival, budget, metric, structure, unit) for arm, rival in pairs]
    return [d for d in found if d is not None]


def _difference(
    aligned: Aligned, arm: str, rival: str, budget: str, metric: str, structure: str | None, unit: str
) -> Difference | None:
    pairs = aligned.pair(arm, rival)
    both = pairs.dropna()
    if both.empty:
        return None
    found = cells((both["arm"] - both["rival"]).to_frame())
    by_unit = found.by_unit()[0]
    low, high = interval(resampled_means(found, RESAMPLES)[:, 0], len(by_unit))
    gains = sign(metric) * by_unit
    return Difference(
        arm, rival, budget, metric, structure,
        mean=float(by_unit.mean()), low=float(low), high=float(high), p=signed_rank(by_unit),
        better=int((gains > 0).sum()), worse=int((gains < 0).sum()), units=len(by_unit), unit=unit,
        repetitions=len(found.repetitions), runs=both.reset_index(CASE, drop=True).index.nunique(),
        unpaired=aligned.unpaired(arm, rival), left_out=len(pairs) - len(both),
    )  # fmt: skip


def corrected(differences: Sequence[Difference]) -> list[Difference]:
    """The same with p by Holm's correction over them all as one family; those too small for a test do not count."""
    ps = holm([math.nan if d.p is None else d.p for d in differences])
    return [replace(d, p=d.p if d.p is None else p, corrected=True) for d, p in zip(differences, ps, strict=True)]


def against(
    table: pd.DataFrame, baseline: str, *, metric: str = "dice", structure: str | None = None
) -> list[Difference]:
    """Every other arm against the baseline at every budget, in the table's order, `corrected` over them all.

    Raises:
        ValueError: see `outcomes.case_results`.
    """
    check(table, metric, structure)
    pairs = [(str(arm), baseline) for arm in table["arm"].unique() if arm != baseline]
    found = [
        differences(table, pairs, budget=str(budget), metric=metric, structure=structure)
        for budget in table["budget"].unique()
    ]
    return corrected([d for each in found for d in each])


def paired_units(
    table: pd.DataFrame,
    *,
    arm: str,
    rival: str,
    budget: str,
    metric: str = "dice",
    structure: str | None = None,
) -> pd.DataFrame:
    """What a `Difference` is made of: columns ``arm`` and ``rival``, a row a unit.

    Raises:
        ValueError: see `outcomes.case_results`.
    """
    results = {
        name: case_results(table, arm=name, budget=budget, metric=metric, structure=structure) for name in (arm, rival)
    }
    both = Aligned(results).pair(arm, rival).dropna()
    if both.empty:
        return pd.DataFrame(columns=["arm", "rival"], dtype=float)
    found = cells(both)
    return pd.DataFrame(found.by_unit().T, index=found.units, columns=["arm", "rival"])
