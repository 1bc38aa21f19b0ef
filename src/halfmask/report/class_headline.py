"""What a study of classifiers found, in plain sentences."""

from __future__ import annotations

import math
from collections import Counter

from halfmask.evaluation.statistics.seeds import interval
from halfmask.report.cells import cells
from halfmask.report.class_differences import gap_between
from halfmask.report.class_groups import told
from halfmask.report.class_verdict import NAMES, distance
from halfmask.report.headline import Headline
from halfmask.report.study import Study
from halfmask.report.verdict import count


def class_headline(study: Study) -> Headline:
    """The best arm at each budget by AUC and by balanced recall, against the baseline, or else the next best."""
    if study.table.empty:
        states = Counter(str(run["state"]) for run in study.runs)
        so_far = ", ".join(f"{n} {state}" for state, n in states.items())
        return Headline([f"Nothing was measured yet: of {count(len(study.runs), 'run')} {so_far}."], [], [])
    metrics = [metric for metric in NAMES if metric in study.metrics]
    said = [line for metric in metrics for budget in study.budgets if (line := _best(study, budget, metric))]
    caveats = []
    if len(study.measured()) > 2:
        caveats.append("At each budget the best of several arms is told; the interval of its lead knows nothing of it.")
    if lacking := sum(run["state"] != "done" for run in study.runs):
        caveats.append(f"{lacking} of {count(len(study.runs), 'run')} have no figures yet.")
    return Headline(said, [], caveats)


def _best(study: Study, budget: str, metric: str) -> str:
    """A sentence on a metric at one budget; nothing if no arm has figures there."""
    found = cells(study, metric)
    means = {arm: found[arm, budget].mean for arm in study.arms if len(found[arm, budget].values)}
    if not means:
        return ""
    ranked = sorted(means, key=lambda arm: -means[arm])
    best, figure = ranked[0], lambda arm: told(interval(found[arm, budget].values.to_numpy(float)))
    if len(ranked) == 1:
        return f"With {budget} {best} alone has a {NAMES[metric]}: {figure(best)}."
    rival = study.baseline if study.baseline in means and study.baseline != best else ranked[1]
    gap, of = gap_between(study, best, rival, budget, metric), "the baseline" if rival == study.baseline else "the next"
    lead = 100 * (means[best] - means[rival])
    if gap is not None and not math.isnan(gap.over.mean):
        lead = 100 * gap.over.mean
    proof = "not shown: they have no run of the same fold, draw and seed" if gap is None else gap.proof()
    return (
        f"With {budget} {best} has the highest {NAMES[metric]}, {figure(best)}: "
        f"{distance(lead)} {of}, {rival} ({figure(rival)}). That is {proof}."
    )
