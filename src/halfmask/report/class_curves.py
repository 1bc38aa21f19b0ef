"""ROC and precision–recall curves, and reliability diagrams, of each setup."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from halfmask.evaluation.calibration import reliability
from halfmask.evaluation.class_table import Predictions
from halfmask.evaluation.probabilities import known, one_hot, scores
from halfmask.evaluation.ranking import precision_recall, roc
from halfmask.evaluation.table import MEAN
from halfmask.report.class_figures import classes_of
from halfmask.report.class_groups import over_seeds, told
from halfmask.report.document import folded
from halfmask.report.groups import Group
from halfmask.report.markup import Markup, join, tag
from halfmask.report.square_plot import Line, square_plot

GRID = np.linspace(0, 1, 201)
Styles = Mapping[str, str]


def ranking_section(groups: Sequence[Group], styles: Styles) -> Markup:
    """Mean over the classes in the open, each class folded; of two classes one alone, as the other is its mirror."""
    names = classes_of(groups)
    several = any(e.classified.multi_label for g in groups for e in g.entries if e.classified is not None)
    if len(names) == 2 and not several:
        note, shown, rest = f"Of {names[1]} against {names[0]}.", [names[1]], []
    else:
        note, shown = "Each class against all others; the curves of the classes are averaged.", [MEAN]
        rest = names
    if any(len(g.entries) > 1 for g in groups):
        note += " Curves of several runs are averaged: true positive rates at equal false positive rates, and "
        note += "precisions at equal recalls."
    return join([
        tag("p", note), tag("div", [_pair(groups, styles, name) for name in shown], class_="plots pairs"),
        folded("Class by class", tag("div", [_pair(groups, styles, name) for name in rest], class_="plots pairs"))
        if rest else None,
    ])  # fmt: skip


def reliability_section(groups: Sequence[Group], styles: Styles) -> Markup:
    """How often what was predicted with some confidence was so; all runs of a setup together."""
    several = any(e.classified.multi_label for g in groups for e in g.entries if e.classified is not None)
    what = "each label's probability, against how often it was there" if several else (
        "the probability of the decided class, against how often it was right")  # fmt: skip
    note = (
        f"Fifteen bins of {what}; below the diagonal a classifier is too sure of itself. ECE is the mean distance from "
        "the diagonal, each bin weighted by its cases, of each run" + (" and label" if several else "") + "."
    )
    lines = [_reliability(g, styles[g.title]) for g in groups]
    across, up = ("probability", "share that had the label") if several else ("confidence", "share that was right")
    plot = square_plot("Reliability", lines, across, up, diagonal=True)
    return join([tag("p", note), tag("div", plot, class_="plots")])


def roc_curve(found: Predictions, k: int) -> np.ndarray | None:
    """True positive rates of class k at the false positive rates of `GRID`; None if undefined."""
    score, has = _known(found, k)
    if has.all() or not has.any():
        return None
    false, true = roc(score, has)
    return np.interp(GRID, false + 1e-9 * np.arange(len(false)), true)  # so that steps go straight up


def precision_curve(found: Predictions, k: int) -> np.ndarray | None:
    """Precisions of class k at the recalls of `GRID`: of the first threshold that reaches it; None if undefined."""
    score, has = _known(found, k)
    if not has.any():
        return None
    precision, recall = precision_recall(score, has)
    return np.asarray(precision[np.searchsorted(recall, np.minimum(GRID, recall[-1]) - 1e-12)])


def _known(found: Predictions, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Score and truth of the cases whose class (or label k) is known."""
    there = known(found.truth)[:, k] if found.multi_label else known(found.truth)
    return scores(found.probability, found.truth)[there, k], one_hot(found.truth, len(found.classes))[there, k]


def _pair(groups: Sequence[Group], styles: Styles, name: str) -> list[Markup]:
    of = "mean of classes" if name == MEAN else name
    kinds: list[tuple[str, str, str, str, Callable[[Predictions, int], np.ndarray | None]]] = [
        ("ROC", "auc", "false positive rate", "true positive rate", roc_curve),
        ("Precision–recall", "average_precision", "recall", "precision", precision_curve),
    ]
    plots = []
    for kind, metric, across, up, curve in kinds:
        short = "AUC" if metric == "auc" else "AP"
        lines = [
            Line(g.title, f"{short} {told(over_seeds(g, metric, name))}", styles[g.title], GRID, y)
            for g in groups
            if (y := _mean(g, name, curve)) is not None
        ]
        if lines:
            plots.append(square_plot(f"{kind}, {of}", lines, across, up, diagonal=metric == "auc"))
        else:
            plots.append(tag("p", f"{kind}, {of}: undefined in all setups.", class_="note"))
    return plots


def _mean(group: Group, name: str, curve: Callable[[Predictions, int], np.ndarray | None]) -> np.ndarray | None:
    """The mean of the curves of a class, or of all, over the runs; None if it is never defined."""
    curves = [
        found
        for entry in group.entries
        if (p := entry.classified) is not None
        for k, own in enumerate(p.classes)
        if name in (own, MEAN) and (found := curve(p, k)) is not None
    ]
    return np.mean(curves, axis=0) if curves else None


def _reliability(group: Group, style: str) -> Line:
    first, *others = [e.classified for e in group.entries if e.classified is not None]
    runs = [first, *(p for p in others if p.classes == first.classes and p.multi_label == first.multi_label)]
    every = reliability(np.vstack([p.probability for p in runs]), np.concatenate([p.truth for p in runs]))
    dots = [f"{group.title}: {n} of confidence {c:.3f}, right in {a:.3f}"
            for c, a, n in zip(every.confidence, every.accuracy, every.count, strict=True)]  # fmt: skip
    return Line(group.title, f"ECE {told(over_seeds(group, 'ece'))}", style, every.confidence, every.accuracy, dots)
