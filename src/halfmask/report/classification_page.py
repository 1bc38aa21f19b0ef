"""The page on runs that tell classes of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from halfmask.report.class_curves import ranking_section, reliability_section
from halfmask.report.class_figures import figures_section
from halfmask.report.class_verdict import class_verdict
from halfmask.report.confusion import confusion_section
from halfmask.report.curves import curve_plots
from halfmask.report.document import Page, Section, document
from halfmask.report.gather import Entry
from halfmask.report.groups import Group, grouped
from halfmask.report.markup import Markup, tag
from halfmask.report.saliency import saliency_section
from halfmask.report.settings import origin_section, settings_section
from halfmask.report.styles import arm_styles, run_styles
from halfmask.report.verdict import count

Part = tuple[str, str, Markup | None]


def classification_page(entries: Sequence[Entry]) -> Page:
    """The report on some runs, in their order; runs that differ only in what was drawn are one setup."""
    groups = grouped(entries)
    first, *rest = class_verdict(groups)
    missing = [f"{entry.name}: {told}" for entry in entries for told in entry.missing]
    chosen = [tag("li", f"{entry.name}: {entry.choice}") for entry in entries if entry.choice]
    parts: list[Part] = [
        ("missing", "What is missing", tag("ul", [tag("li", told) for told in missing]) if missing else None),
        ("choice", "How the method was chosen", tag("ul", chosen) if chosen else None),
        ("metrics", "Metrics", figures_section(groups) if groups else None),
        *looked_at(groups, arm_styles([group.title for group in groups])),
        ("learning", "Learning curves", curve_plots(entries, run_styles(entries))),
        ("settings", "Settings", settings_section(entries)),
        ("origin", "Versions, hardware, times, commands", origin_section(entries)),
    ]
    sections: list[Section] = [(key, said, part) for key, said, part in parts if part]
    heading = "halfmask report: " + ", ".join(entry.name for entry in entries)
    found = tag("ul", [tag("li", said) for said in rest], class_="found") if rest else None
    above = [tag("h1", "halfmask report"), tag("p", first, class_="summary"), *([found] if found else [])]
    html = document(heading, above, sections, count(len(entries), "folder"))
    return Page(html, " ".join([first, *rest]), missing)


def looked_at(groups: Sequence[Group], styles: Mapping[str, str]) -> list[Part]:
    """What probabilities and pictures tell beyond the metrics; ``styles`` by the title of a setup."""
    if not groups:
        return []
    return [
        ("ranking", "ROC and precision–recall", ranking_section(groups, styles)),
        ("calibration", "Calibration", reliability_section(groups, styles)),
        ("confusion", "Confusion", confusion_section(groups)),
        ("saliency", "What the classifiers look at", saliency_section(groups)),
    ]
