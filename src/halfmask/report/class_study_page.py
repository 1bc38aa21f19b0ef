"""The page on a study of classifiers."""

from __future__ import annotations

from halfmask.evaluation.classification import COUNTS
from halfmask.report.cells import cells
from halfmask.report.class_differences import against_baseline, differences_section
from halfmask.report.class_efficiency import class_efficiency_section
from halfmask.report.class_figures import MEANING
from halfmask.report.class_headline import class_headline
from halfmask.report.classification_page import Part, looked_at
from halfmask.report.disagreement import entry_of, fewest_labels, first_draw
from halfmask.report.document import Page, Section, document, folded
from halfmask.report.figures import title
from halfmask.report.groups import Group
from halfmask.report.markup import Markup, join, tag
from halfmask.report.result_table import (
    CLASS_MAIN,
    Marks,
    capital,
    caption,
    captioned,
    main_metrics,
    reported_note,
    table,
    told,
    unfinished,
)
from halfmask.report.sealed import sealed_section
from halfmask.report.study import Study
from halfmask.report.study_origin import made_section, settings_section, unfinished_section
from halfmask.report.study_parts import above, training_section
from halfmask.report.styles import arm_styles
from halfmask.report.tables import SMOKE, tables
from halfmask.report.verdict import count

OPEN = 3
"""Of the main metrics, those whose table is open."""


def class_study_page(study: Study) -> Page:
    """The report on a study of classifiers, finished or not."""
    found, styles = class_headline(study), arm_styles(study.arms)
    groups = one_run_each(study)
    parts: list[Part] = [
        ("sealed", "Sealed test", sealed_section(study)),
        ("results", "Results", class_results(study)),
        ("efficiency", "Label efficiency", class_efficiency_section(study, styles)),
        ("differences", f"Against {study.baseline}", differences_section(study)),
        ("one", "One run of each arm", _which(study, groups)),
        *looked_at(groups, styles),
        ("curves", "Training", training_section(study, styles)),
        ("unfinished", "Runs without figures", unfinished_section(study)),
        ("settings", "The study file", settings_section(study)),
        ("origin", "Hardware, versions, draws, times", made_section(study)),
    ]
    sections: list[Section] = [(key, said, part) for key, said, part in parts if part]
    html = document(f"halfmask study: {study.name}", above(study, found), sections, count(len(study.runs), "run"))
    missing = [f"{run['name']}: {run['error']}" for run in study.runs if run["state"] == "failed"]
    return Page(html, SMOKE if study.smoke else found.text(), missing)


def class_study_tables(study: Study) -> dict[str, str]:
    """What ``table.md`` and ``table.tex`` hold."""
    return tables(study, {metric: shown(study, metric) for metric in main_metrics(study)})


def class_results(study: Study) -> Markup:
    """Balanced recall, F1 and AUC in the open; the other metrics, and the classes, folded."""
    main = main_metrics(study)
    first, rest = main[:OPEN], [m for m in study.metrics if m not in (*main[:OPEN], *COUNTS)]
    marks = {metric: shown(study, metric) for metric in first}
    every = {key: True for found in marks.values() for key, there in found.items() if there}
    found = cells(study, study.metric)
    parts: list[Markup | None] = [tag("p", told(study, found, every, study.metric), f" {MEANING}")]
    opened = [
        tag("div", tag("h3", caption(study, metric, None)), table(study, metric, None, marks[metric]))
        for metric in first
    ]
    parts.append(tag("div", opened, class_="tables"))
    if study.told.get("reported"):
        parts.append(tag("p", reported_note(study), class_="quiet"))
    parts.append(unfinished(study, found))
    if rest:
        made = [captioned(study, metric, None) for metric in rest]
        parts.append(folded("Other metrics: " + ", ".join(map(title, rest)), tag("div", made, class_="tables")))
    for metric in CLASS_MAIN:
        made = [captioned(study, metric, s) for s in study.structures if _there(study, metric, s)]
        if made:
            parts.append(folded(f"{capital(title(metric))} of each class", tag("div", made, class_="tables")))
    return join(parts)


def shown(study: Study, metric: str) -> Marks:
    """By arm and budget, whether the difference from the baseline is shown."""
    return {key: gap.shown for key, gap in against_baseline(study, metric).items()}


def one_run_each(study: Study) -> list[Group]:
    """The first run of each arm that has figures, at the smallest budget that most arms have."""
    budget = fewest_labels(study)
    if budget is None:
        return []
    rows = first_draw(study.table[study.table["budget"] == budget]).drop_duplicates("arm")
    made = dict(zip(rows["arm"], rows["run"], strict=True))
    entries = [entry_of(study, arm, made[arm]) for arm in study.arms if arm in made]
    return [Group(entry.name, (entry,)) for entry in entries if entry.measured is not None]


def _which(study: Study, groups: list[Group]) -> Markup | None:
    if not groups:
        return None
    runs = ", ".join(e.folder.name for g in groups for e in g.entries if e.folder is not None)
    budget = fewest_labels(study)
    return tag("p", f"What follows, up to the trainings, is of one run of each arm with {budget}: {runs}. It tells of "
               "these runs, not of the arms.")  # fmt: skip


def _there(study: Study, metric: str, structure: str) -> bool:
    return bool(metric in study.table and study.table.loc[study.table["structure"] == structure, metric].notna().any())
