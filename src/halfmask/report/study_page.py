"""The page on a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from halfmask.evaluation.statistics.outcomes import unit_means
from halfmask.evaluation.statistics.paired import Difference, against
from halfmask.report.boxes import box_plot
from halfmask.report.class_study_page import class_study_page, class_study_tables
from halfmask.report.disagreement import disagreement_section
from halfmask.report.document import Page, Section, document, folded
from halfmask.report.efficiency import efficiency_section
from halfmask.report.headline import headline
from halfmask.report.markup import Markup, join, tag
from halfmask.report.result_table import result_section
from halfmask.report.scatter import scatter_section
from halfmask.report.sealed import sealed_section
from halfmask.report.significance import significance_section
from halfmask.report.spread import spread_section
from halfmask.report.study import Study, read_study
from halfmask.report.study_domains import domain_section
from halfmask.report.study_origin import made_section, settings_section, unfinished_section
from halfmask.report.study_parts import above, training_section
from halfmask.report.styles import arm_styles
from halfmask.report.tables import SMOKE, tables
from halfmask.report.verdict import count


def study_page(folder: Path) -> Page:
    """The report on a study folder, finished or not.

    Raises:
        ValueError: study.json or results.csv is not as `halfmask study` writes it.
    """
    study = read_study(folder)
    if study.classifies:
        return class_study_page(study)
    differences = _against(study)
    found = headline(study, differences)
    styles = arm_styles(study.arms)
    sections: list[tuple[str, str, Markup | None]] = [
        ("sealed", "Sealed test", sealed_section(study)),
        ("results", "Results", join([result_section(study, proven(differences)), _folded(study)])),
        ("domains", "By domain", domain_section(study)),
        ("efficiency", "Label efficiency", efficiency_section(study, styles, proven(differences))),
        ("boxes", "Unit by unit" if study.table.empty else f"{study.unit.capitalize()} by {study.unit}",
         _boxes(study, styles)),
        ("significance", "Every arm against every other", significance_section(study)),
        ("scatter", f"Against {study.baseline}", scatter_section(study, styles)),
        ("pictures", "Pictures", disagreement_section(study)),
        ("curves", "Training", training_section(study, styles)),
        ("unfinished", "Runs without figures", unfinished_section(study)),
        ("settings", "The study file", settings_section(study)),
        ("origin", "Hardware, versions, draws, times", made_section(study)),
    ]  # fmt: skip
    kept: list[Section] = [(key, said, part) for key, said, part in sections if part]
    html = document(f"halfmask study: {study.name}", above(study, found), kept, count(len(study.runs), "run"))
    missing = [f"{run['name']}: {run['error']}" for run in study.runs if run["state"] == "failed"]
    return Page(html, SMOKE if study.smoke else found.text(), missing)


def study_tables(folder: Path) -> dict[str, str]:
    """What ``table.md`` and ``table.tex`` hold, for a study folder, finished or not.

    Raises:
        ValueError: as `study_page`.
    """
    study = read_study(folder)
    if study.classifies:
        return class_study_tables(study)
    return tables(study, {"dice": proven(_against(study))})


def proven(differences: Sequence[Difference]) -> dict[tuple[str, str], bool]:
    """By arm and budget: whether a difference from the baseline is shown."""
    return {(d.arm, d.budget): d.shown for d in differences}


def _against(study: Study) -> list[Difference]:
    return [] if study.baseline is None or study.table.empty else against(study.table, study.baseline)


def _folded(study: Study) -> Markup | None:
    spread = spread_section(study)
    return None if spread is None else folded(f"Spread over {study.unit}s, folds, draws and seeds", spread)


def _boxes(study: Study, styles: Mapping[str, str]) -> Markup | None:
    """A plot a budget, all of one scale; a box an arm, a dot a unit."""
    found = {
        budget: {
            arm: unit_means(study.table, arm=arm, budget=budget)
            for arm in study.measured()
            if len(study.of(arm, budget))
        }
        for budget in study.by_size()
    }
    if not found:
        return None
    every = pd.concat([values for series in found.values() for values in series.values()])
    reach = None if every.empty else (float(every.min()), float(every.max()))
    plots = [
        tag(
            "figure",
            tag("figcaption", name := f"Dice, {budget}"),
            box_plot(name, series, styles=[styles[arm] for arm in series], bounds=(None, 1.0), reach=reach),
        )
        for budget, series in found.items()
    ]
    told = (
        f"A dot is a {study.unit}, its mean over the runs; the box holds the middle half, the line in it is the "
        "median, and whiskers reach to the last within 1.5 box lengths. All plots have one scale."
    )
    return join([tag("p", told), tag("div", plots, class_="plots")])
