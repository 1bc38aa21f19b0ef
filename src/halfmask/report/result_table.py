"""The result table as papers print it: arms down, budgets across, the best and second best of each column marked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from halfmask.evaluation.classification import MACRO
from halfmask.evaluation.metrics import VOLUME
from halfmask.report.cells import Cell, Cells, cells, partial, ranks
from halfmask.report.document import folded, scrolled
from halfmask.report.figures import MAIN, WHOLE, decimals, title
from halfmask.report.markup import Markup, breakable, join, tag
from halfmask.report.study import Study
from halfmask.report.verdict import count

Marks = Mapping[tuple[str, str], bool]
"""By arm and budget: whether the difference from the baseline is more than chance explains."""
CLASS_MAIN = ("recall", "f1", "auc", "accuracy", "average_precision")
UNDEFINED = (
    "Where one of two masks is empty a distance is undefined, and so is a mean of structures with it; such cases are "
    "counted, not averaged, and a cell that has more of them than another is not ranked before it."
)


def result_section(study: Study, proven: Marks) -> Markup:
    """Mean Dice in the open, its structures and each other metric folded."""
    found = cells(study)
    parts: list[Markup | None] = [tag("p", told(study, found, proven)), table(study, "dice", None, proven)]
    if study.told.get("reported"):
        parts.append(tag("p", reported_note(study), class_="quiet"))
    parts.append(unfinished(study, found))
    main = [m for m in MAIN if m in study.metrics and m != "dice"]
    others = [m for m in study.metrics if m not in MAIN]
    if len(study.structures) > 1:
        by_structure = [captioned(study, "dice", s) for s in study.structures]
        parts.append(folded("Dice of each structure", tag("div", by_structure, class_="tables")))
    parts += [_folded(study, metric) for metric in main]
    if others:
        parts.append(folded("Other metrics: " + ", ".join(map(title, others)), [_folded(study, m) for m in others]))
    return join(parts)


def main_metrics(study: Study) -> list[str]:
    """The metrics of a paper's table, the first of the study first."""
    main = CLASS_MAIN if study.classifies else MAIN
    return [m for m in main if m in study.metrics]


def _folded(study: Study, metric: str) -> Markup:
    """A metric of all structures."""
    shown = [None] if len(study.structures) == 1 else [None, *study.structures]
    note = tag("p", UNDEFINED) if study.table[metric].isna().any() else None
    return folded(title(metric), note, tag("div", [captioned(study, metric, s) for s in shown], class_="tables"))


def told(study: Study, found: Cells, proven: Marks, metric: str = "dice") -> str:
    """What a cell is, and what its marks mean."""
    if study.classifies:
        return _told_of_seeds(study, found, proven, metric)
    units = max((len(cell.values) for cell in found.values()), default=0)
    if not units:
        return "No run has figures yet."
    runs = {cell.done for cell in found.values() if cell.done}
    behind = f", {count(runs.pop(), 'run')} behind each cell" if len(runs) == 1 else ""
    over = ["its cases"] * (study.unit == "patient") + ["its structures"] * (len(study.structures) > 1) + ["the runs"]
    said = (
        f"Mean ± standard deviation over {count(units, study.unit)}{study.of_target}{behind}; the figure of a "
        f"{study.unit} is its mean over {' and '.join([', '.join(over[:-1]), over[-1]] if len(over) > 1 else over)}."
    )
    said += _ranked(study, found, metric)
    if any(proven.values()):
        said += (
            f" † marks a difference from {study.baseline} that is shown: p < 0.05 (Wilcoxon signed-rank over "
            f"{study.unit}s, Holm's correction over all cells of the table), a bootstrap interval without 0, and most "
            f"{study.unit}s on its side."
        )
    if any(cell.undefined for cell in found.values()):
        said += f" {UNDEFINED}"
    if partial(found):
        said += " Cells whose runs are not all made say how many are, and are not ranked."
    return said


def _ranked(study: Study, found: Cells, metric: str) -> str:
    """What marks the best of a column, if anything does."""
    marked = [ranks(metric, column) for column in columns(study, found).values()]
    if not any(best for best, _ in marked):
        return ""
    said = " The best of each column is bold with ★"
    said += ", the second best underlined" if any(second for _, second in marked) else ""
    return said + (f"; {study.ceiling}, the ceiling, is not ranked." if study.ceiling else ".")


def over_classes(metric: str) -> str:
    """What a macro metric is, in a sentence; nothing for others."""
    balanced = ", the balanced accuracy" if metric == "recall" else ""
    return f"{capital(title(metric))} is the mean over classes{balanced}." if metric in MACRO else ""


def _told_of_seeds(study: Study, found: Cells, proven: Marks, metric: str) -> str:
    """The same of a classifier's figures, whose units are seeds."""
    seeds = {len(cell.values) for cell in found.values() if len(cell.values)}
    if not seeds:
        return "No run has figures yet."
    several = f"{min(seeds)} to {max(seeds)} seeds" if len(seeds) > 1 else count(max(seeds), "seed")
    said = f"Mean ± 95 % t interval over {several}" if max(seeds) > 1 else "One seed each, so without an interval"
    said += "; folds of one seed are averaged." if study.table["fold"].nunique() > 1 else "."
    said += _ranked(study, found, metric)
    if any(proven.values()):
        said += (
            f" † marks a difference from {study.baseline} that is shown: the 95 % t interval of the paired differences "
            "over seeds leaves out 0, without a correction for the number of cells."
        )
    if partial(found):
        said += " Cells whose runs are not all made say how many are, and are not ranked."
    return said


def table(study: Study, metric: str, structure: str | None, proven: Marks | None = None) -> Markup:
    """One metric of one structure; ``proven`` and the paper's own figures go with the one they are about."""
    found = cells(study, metric, structure)
    marked = {budget: ranks(metric, column) for budget, column in columns(study, found).items()}
    reported = reported_figures(study, metric, structure)
    head = tag("tr", tag("th", "Method", scope="col"), [tag("th", budget, scope="col") for budget in study.budgets])
    rows = [
        tag("tr", tag("th", breakable(arm), scope="row"), [
            figure(found[arm, b], metric, arm in marked[b][0], arm in marked[b][1],
                  bool(proven and proven.get((arm, b))), reported.get((arm, b)))
            for b in study.budgets
        ])
        for arm in study.arms
    ]  # fmt: skip
    made = tag("table", tag("thead", head), tag("tbody", rows))
    return scrolled(caption(study, metric, structure), made)


def reported_note(study: Study) -> str:
    """Where the paper's own figures come from."""
    reported = study.told["reported"]
    return f"In brackets below ours: {title(reported['metric'])} as {reported['source']} reports it."


def reported_figures(study: Study, metric: str, structure: str | None) -> dict[tuple[str, str], float]:
    """The paper's figures of a metric, by arm and budget; none for single structures."""
    reported: dict[str, Any] = study.told.get("reported") or {}
    if reported.get("metric") != metric or structure is not None:
        return {}
    return {
        (arm, budget): value
        for arm, values in reported["rows"].items()
        for budget, value in zip(study.budgets, values, strict=False)
        if value is not None
    }


def columns(study: Study, found: Cells) -> dict[str, dict[str, Cell]]:
    """The cells of each budget, by arm, to be ranked: the ceiling is no rival."""
    arms = [arm for arm in study.arms if arm != study.ceiling]
    return {budget: {arm: found[arm, budget] for arm in arms} for budget in study.budgets}


def figure(
    cell: Cell, metric: str, best: bool = False, second: bool = False, proven: bool = False,
    reported: float | None = None,
) -> Markup:  # fmt: skip
    """A cell in HTML: its mean with its mark, the spread, and what is lacking."""
    theirs = None
    if reported is not None:
        theirs = tag("div", tag("span", "reported: ", class_="unseen"), f"[{reported:.{decimals(metric, reported)}f}]",
                     class_="quiet")  # fmt: skip
    if not cell.planned:
        return tag("td", "–", theirs)
    if not cell.done:
        return tag("td", tag("span", "not run", class_="quiet"), theirs)
    runs = None if cell.whole else tag("div", f"{cell.done} of {cell.planned} runs", class_="quiet")
    if cell.values.empty:
        return tag("td", f"undefined ({cell.undefined})", runs, theirs)
    digits = decimals(metric, cell.mean)
    mean: Any = f"{cell.mean:.{digits}f}"
    if best:
        mean = tag("strong", tag("span", "★", aria_hidden="true"), tag("span", "best: ", class_="unseen"), mean)
    elif second:
        mean = tag("u", tag("span", "second best: ", class_="unseen"), mean)
    spread = None if math.isnan(cell.spread) else tag("span", f" ± {cell.spread:.{digits}f}", class_="quiet")
    dagger = tag("sup", "†") if proven else None
    undefined = tag("div", f"{cell.undefined} undefined", class_="quiet") if cell.undefined else None
    return tag("td", mean, spread, dagger, undefined, runs, theirs)


def captioned(study: Study, metric: str, structure: str | None) -> Markup:
    return tag("div", tag("h3", caption(study, metric, structure)), table(study, metric, structure))


def caption(study: Study, metric: str, structure: str | None) -> str:
    """Volume errors are averaged by their size: the study's statistics compare them so."""
    if study.classifies:
        of = structure or ("mean of classes" if metric in MACRO else "")
        return capital(title(metric)) + (f", {of}" if of else "")
    whole = study.structures[0] if len(study.structures) == 1 else WHOLE
    return f"{'Size of ' if metric in VOLUME else ''}{title(metric)}, {structure or whole}"


def capital(text: str) -> str:
    """The first letter a capital."""
    return text[:1].upper() + text[1:]


def unfinished(study: Study, found: Cells) -> Markup | None:
    """Why cells have no figures, by arm; arms alike in it share a line."""
    reasons: dict[tuple[str, ...], list[str]] = {}
    for arm in study.arms:
        why = tuple(dict.fromkeys(told for b in study.budgets for told in found[arm, b].why if not found[arm, b].done))
        if why:
            reasons.setdefault(why, []).append(arm)
    if not reasons:
        return None
    lines = [tag("li", f"{', '.join(arms)}: {'; '.join(why)}") for why, arms in reasons.items()]
    return join([tag("p", "Not run:"), tag("ul", lines)])
