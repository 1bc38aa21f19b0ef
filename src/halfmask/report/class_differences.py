"""Every arm of a study of classifiers less the baseline, paired by fold, draw and seed."""

from __future__ import annotations

import pandas as pd

from halfmask.evaluation.statistics.seeds import interval
from halfmask.evaluation.table import MEAN
from halfmask.report.class_groups import Gap, signed
from halfmask.report.document import folded, scrolled
from halfmask.report.figures import title
from halfmask.report.markup import Markup, breakable, join, tag
from halfmask.report.result_table import capital, main_metrics
from halfmask.report.study import DRAWN, Study
from halfmask.report.verdict import count

Gaps = dict[tuple[str, str], Gap]


def against_baseline(study: Study, metric: str) -> Gaps:
    """By arm and budget, where both have runs of the same fold, draw and seed; nothing without a baseline."""
    if study.baseline is None or study.table.empty or metric not in study.table:
        return {}
    found = {(arm, b): gap_between(study, arm, study.baseline, b, metric) for arm in study.arms for b in study.budgets}
    return {key: gap for key, gap in found.items() if gap is not None and key[0] != study.baseline}


def differences_section(study: Study) -> Markup | None:
    """A table a metric, arms down and budgets across; None if there is nothing to pair."""
    metrics = [m for m in main_metrics(study) if against_baseline(study, m)]
    if not metrics:
        return None
    told = (
        f"Arm minus {study.baseline} in points (hundredths), run by run of the same fold, draw and seed: the mean "
        "difference ± 95 % t interval over seeds; folds are averaged. † and a tint (blue better, orange worse) where "
        "the interval leaves out 0: such a difference is shown, though without a correction for the number of cells. "
        "One seed has no interval, and shows nothing."
    )
    first, *rest = [(m, _table(study, m)) for m in metrics]
    return join([
        tag("p", told), tag("h3", capital(title(first[0]))), first[1],
        [folded(capital(title(m)), made) for m, made in rest],
    ])  # fmt: skip


def gap_between(study: Study, arm: str, rival: str, budget: str, metric: str) -> Gap | None:
    """The difference of two arms; None if they have no run in common."""
    rows = study.table[(study.table["structure"] == MEAN) & (study.table["budget"] == budget)]
    one, other = (rows[rows["arm"] == a].set_index(DRAWN)[metric] for a in (arm, rival))
    both = pd.concat([one, other], axis=1, join="inner", keys=["one", "other"])
    if both.empty:
        return None
    seeds = (both["one"] - both["other"]).groupby(["draw", "seed"]).agg(lambda values: values.mean(skipna=False))
    return Gap(interval(seeds.to_numpy(float)), len(seeds))


def _table(study: Study, metric: str) -> Markup:
    found = against_baseline(study, metric)
    arms = [arm for arm in study.arms if any(key[0] == arm for key in found)]
    head = tag("tr", tag("th", f"Minus {study.baseline}", scope="col"),
               [tag("th", budget, scope="col") for budget in study.budgets])  # fmt: skip
    rows = [
        tag("tr", tag("th", breakable(arm), scope="row"), [_cell(found.get((arm, b))) for b in study.budgets])
        for arm in arms
    ]
    made = tag("table", tag("thead", head), tag("tbody", rows), class_="matrix")
    return scrolled(f"{title(metric)}, differences from {study.baseline}", made)


def _cell(gap: Gap | None) -> Markup:
    if gap is None:
        return tag("td", "no pair")
    mean, half = (100 * part for part in gap.over)
    if mean != mean:
        return tag("td", "undefined")
    spread = tag("span", f" ± {half:.1f}", class_="quiet") if half == half else None
    style = ("better" if mean > 0 else "worse") if gap.shown else None
    return tag("td", signed(mean), spread, tag("sup", "†") if gap.shown else None,
               tag("div", count(gap.draws, "seed"), class_="quiet"), class_=style)  # fmt: skip
