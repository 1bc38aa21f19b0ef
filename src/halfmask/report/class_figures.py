"""The tables of a classifier's metrics: setups down, metrics or classes across, the best of each marked."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from halfmask.evaluation.classification import COUNTS, MACRO, OVERALL
from halfmask.evaluation.statistics.seeds import Interval, bootstrap_interval
from halfmask.evaluation.table import MEAN
from halfmask.report.class_groups import by_seed, marked, over_seeds
from halfmask.report.document import folded, scrolled
from halfmask.report.figures import title
from halfmask.report.groups import Group
from halfmask.report.markup import Markup, breakable, join, tag
from halfmask.report.result_table import capital

MAIN = ("auc", "recall", "f1", "accuracy", "average_precision", "ece")
MEANING = (
    "AUC, recall, F1, precision, specificity and average precision are means over the classes where they are defined: "
    "recall is then the balanced accuracy."
)


def figures_section(groups: Sequence[Group]) -> Markup:
    """The main metrics in the open; the others, each class, and intervals over cases folded."""
    most = max(len(by_seed(group, "auc")) for group in groups)
    spread = "Mean ± 95 % t interval over seeds" if most > 1 else "One seed each, so without an interval over seeds"
    stars = " ★ and bold mark the best of each column." if len(groups) > 1 else ""
    lower = " Of ECE, Brier score and log loss less is better."
    rest = [metric for metric in OVERALL if metric not in MAIN]
    return join([
        tag("p", f"{spread}. {MEANING}{lower}{stars}"),
        *_notes(groups),
        metric_table("Metrics", groups, MAIN),
        folded("All other metrics", metric_table("All other metrics", groups, rest)),
        folded("Class by class", tag("div", [_by_class(groups, metric) for metric in MACRO], class_="tables")),
        folded("Intervals over cases", _over_cases(groups)),
    ])  # fmt: skip


def metric_table(caption: str, groups: Sequence[Group], metrics: Sequence[str]) -> Markup:
    """A column a metric, of all classes."""
    return _table(caption, groups, {m: title(m) for m in metrics}, lambda g, m: over_seeds(g, m), lambda m: m)


def _by_class(groups: Sequence[Group], metric: str) -> Markup:
    """A column a class."""
    names = {name: name for name in classes_of(groups)}
    made = _table(f"{title(metric)} by class", groups, names, lambda g, c: over_seeds(g, metric, c), lambda c: metric)
    return tag("div", tag("h3", capital(title(metric))), made)


def classes_of(groups: Sequence[Group]) -> list[str]:
    """The classes that any run has, in their order."""
    found = [name for g in groups for e in g.entries for name in (e.measured or {}) if name != MEAN]
    return list(dict.fromkeys(found))


def _table(
    caption: str,
    groups: Sequence[Group],
    columns: Mapping[str, str],
    figure: Callable[[Group, str], Interval],
    metric: Callable[[str], str],
) -> Markup:
    found = {key: {g.title: figure(g, key) for g in groups} for key in columns}
    best = {key: marked(column, metric(key)) for key, column in found.items()}
    head = tag("tr", tag("th", "Setup", scope="col"), [tag("th", name, scope="col") for name in columns.values()])
    rows = [
        tag("tr", tag("th", breakable(g.title), scope="row"),
            [tag("td", _cell(found[key][g.title], metric(key), g.title in best[key])) for key in columns])
        for g in groups
    ]  # fmt: skip
    return scrolled(caption, tag("table", tag("thead", head), tag("tbody", rows)))


def _cell(found: Interval, metric: str, best: bool) -> Any:
    if math.isnan(found.mean):
        return tag("span", "undefined", class_="quiet")
    digits = 0 if metric in COUNTS else 3
    mean: Any = f"{found.mean:.{digits}f}"
    if best:
        mean = tag("strong", tag("span", "★", aria_hidden="true"), tag("span", "best: ", class_="unseen"), mean)
    even = math.isnan(found.half) or (metric in COUNTS and not found.half)
    return [mean, None if even else tag("span", f" ± {found.half:.{digits}f}", class_="quiet")]


def _over_cases(groups: Sequence[Group]) -> Markup:
    """How far other cases would have changed AUC and recall."""
    told = (
        "95 % percentile bootstrap over cases of the runs' mean: what other cases of the same kind might have given, "
        "with these very trainings. Overlapping intervals do not mean that setups are alike, as the cases are the same."
    )
    head = tag("tr", [tag("th", name, scope="col") for name in ("Setup", "AUC", "recall")])
    rows = [
        tag("tr", tag("th", breakable(g.title), scope="row"), 
            [tag("td", _ends(g, metric)) for metric in ("auc", "recall")])
        for g in groups
    ]  # fmt: skip
    table = tag("table", tag("thead", head), tag("tbody", rows))
    return join([tag("p", told), scrolled("Intervals over cases", table)])


def _ends(group: Group, metric: Any) -> str:
    found = [e.classified for e in group.entries if e.classified is not None]
    first = found[0]
    if any(each.cases != first.cases or (each.truth != first.truth).any() for each in found[1:]):
        return "its runs have different cases"
    low, high = bootstrap_interval([each.probability for each in found], first.truth, metric)
    return "undefined" if math.isnan(low) else f"{low:.3f} to {high:.3f}"


def _notes(groups: Sequence[Group]) -> list[Markup]:
    """What keeps rows from being compared, and what is undefined."""
    found = [e.classified for g in groups for e in g.entries if e.classified is not None]
    notes = []
    if len({frozenset(each.cases) for each in found}) > 1:
        notes.append("The runs were measured on different cases, so rows may not be comparable.")
    if len({tuple(each.classes) for each in found}) > 1:
        notes.append("The runs tell different classes apart, so rows may not be comparable.")
    lacking = [c for c in classes_of(groups) if any(math.isnan(over_seeds(g, "auc", c).mean) for g in groups)]
    if lacking:
        notes.append(f"No AUC for {', '.join(lacking)}, as none or all of the measured cases are of it; left out of "
                     "means.")  # fmt: skip
    return [tag("p", told, class_="note") for told in notes]
