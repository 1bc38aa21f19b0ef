"""The page on some runs."""

from __future__ import annotations

from collections.abc import Sequence

from halfmask.evaluation.statistics.chance import p_value
from halfmask.evaluation.table import MEAN
from halfmask.report.boxes import box_plot
from halfmask.report.by_domain import domain_section
from halfmask.report.cases import cases_section
from halfmask.report.curves import PSEUDO, curve_plot, curve_plots, pseudo_figures
from halfmask.report.document import Page, Section, document
from halfmask.report.figures import WHOLE, figures_section, shared_cases, title, values
from halfmask.report.gather import Entry
from halfmask.report.groups import Contrast, against_supervised, grouped
from halfmask.report.markup import Markup, join, tag
from halfmask.report.settings import origin_section, settings_section
from halfmask.report.sides import common_target, narrowed
from halfmask.report.styles import run_styles
from halfmask.report.verdict import count, verdict

BOXES = {"dice": (0.0, 1.0), "hd95": (0.0, None)}
"""The metrics to draw, and what they can reach."""
FEATURES = (
    "Pre-training makes features, no masks: whether they help shows in trainings that start from them "
    "(halfmask train … --init), against one from random weights."
)


def page(entries: Sequence[Entry]) -> Page:
    """The report on some runs, in their order."""
    target = common_target(entries)
    of_target = f" of the target {', '.join(target)}" if target else ""
    every, entries = entries, [narrowed(entry, target) for entry in entries]
    groups = grouped(entries)
    pretrained = [entry for entry in entries if entry.pretrains]
    summary = FEATURES if len(pretrained) == len(entries) else verdict(groups)
    if target:
        summary = f"On the target {', '.join(target)}: {summary}"
    missing = [f"{entry.name}: {told}" for entry in entries for told in entry.missing]
    missing += [
        f"{name}: none of its cases is{of_target}, so it stands under By domain alone" for name in _lost(every, entries)
    ]
    contrasts = against_supervised(groups)
    measured = [entry for entry in entries if entry.table is not None]
    sections: list[Section] = []
    if missing:
        sections.append(("missing", "What is missing", tag("ul", [tag("li", told) for told in missing])))
    if chosen := [tag("li", f"{entry.name}: {entry.choice}") for entry in entries if entry.choice]:
        sections.append(("choice", "How the method was chosen", tag("ul", chosen)))
    if measured:
        sections.append(("metrics", "Metrics", figures_section(entries, of_target)))
    if domains := domain_section(every, target):
        sections.append(("domains", "By domain", domains))
    if contrasts:
        sections.append(("tests", "Against supervised training", _tests(contrasts, of_target)))
    if measured:
        sections.append(("boxes", "Case by case", _boxes(entries, of_target)))
    if curves := curve_plots(entries, run_styles(entries)):
        sections.append(("curves", "Learning curves", curves))
    if pseudo := _pseudo_labels(entries):
        sections.append(("pseudo", "Pseudo-labels", pseudo))
    if measured:
        sections.append(("pictures", "Pictures", cases_section(entries)))
    sections.append(("settings", "Settings", settings_section(entries)))
    sections.append(("origin", "Versions, hardware, times, commands", origin_section(entries)))
    heading = "halfmask report: " + ", ".join(entry.name for entry in entries)
    above = [tag("h1", "halfmask report"), tag("p", summary, class_="summary")]
    html = document(heading, above, sections, count(len(entries), "folder"))
    return Page(html, summary, missing)


def _lost(every: Sequence[Entry], narrow: Sequence[Entry]) -> list[str]:
    """The runs that have figures, but none of the target."""
    return [e.name for e, kept in zip(every, narrow, strict=True) if e.table is not None and kept.table is None]


def _tests(contrasts: Sequence[Contrast], of_target: str) -> Markup:
    """All comparisons with supervised training in numbers."""
    head = tag("tr", [tag("th", name, scope="col") for name in (
        "Method", "Draws", "Cases", "Dice", "Supervised", "Difference (points)", "Better on", "p (Holm)")])  # fmt: skip
    rows = [
        tag("tr", tag("th", c.ours.title, scope="row"), [tag("td", cell) for cell in (
            len(c.seeds), c.cases, f"{c.dice:.3f}", f"{c.rival_dice:.3f}", f"{c.points:+.1f}".replace("-", "−"),
            f"{c.better} of {c.cases}", "too few cases" if c.p is None else p_value(c.p))])
        for c in contrasts
    ]  # fmt: skip
    told = (
        f"Mean Dice over the structures, on the same draws and cases{of_target}, against supervised training with "
        "the same labels. p is the two-sided Wilcoxon signed-rank test's over cases, with Holm's correction for as "
        "many comparisons as there are; it takes cases as independent and tells nothing of other draws of the labels."
    )
    scroll = tag("div", tag("table", tag("thead", head), tag("tbody", rows)), class_="scroll", tabindex=0,
                 role="region", aria_label="Tests")  # fmt: skip
    caveats = [tag("p", f"Not quite like for like: {told}.", class_="note") for c in contrasts for told in c.caveats]
    return join([tag("p", told), scroll, *caveats])


def _boxes(entries: Sequence[Entry], of_target: str) -> Markup:
    """A plot a structure."""
    styles = run_styles(entries)
    measured = [entry for entry in entries if entry.table is not None]
    cases = shared_cases(measured) or None
    structures = list(dict.fromkeys(s for e in measured if e.table is not None for s in e.table["structure"]))
    shown = [MEAN, *structures] if len(structures) > 1 else structures
    parts = [tag("p", f"A dot is a case{of_target}; the box holds the middle half of them, the line in it is the "
                 "median, and whiskers reach to the last case within 1.5 box lengths.")]  # fmt: skip
    for metric, bounds in BOXES.items():
        plots = []
        for structure in shown:
            has = [e for e in measured if e.table is not None and metric in e.table and
                   (structure == MEAN or (e.table["structure"] == structure).any())]  # fmt: skip
            series = {e.name: values(e, structure, metric, cases) for e in has}
            if series:
                name = f"{title(metric)}, {WHOLE if structure == MEAN else structure}"
                plot = box_plot(name, series, styles=[styles[n] for n in series], bounds=bounds,
                                unit=" mm" if metric == "hd95" else "")  # fmt: skip
                plots.append(tag("figure", tag("figcaption", name), plot))
        if plots:
            grid = tag("div", plots, class_="plots")
            parts.append(
                grid if metric == "dice" else tag("details", tag("summary", f"{title(metric)} case by case"), grid)
            )
    return join(parts)


def _pseudo_labels(entries: Sequence[Entry]) -> Markup | None:
    """What the trainings made of a few crops of the unlabeled images, class by class, folded but for the shares."""
    styles = run_styles(entries)
    parts: list[Markup] = []
    for what, names in pseudo_figures(entries).items():
        plots = [
            tag("figure", tag("figcaption", name.removeprefix(f"pseudo {what} ")), plot)
            for name in names
            if (plot := curve_plot(name, entries, styles))
        ]
        if plots:
            summary = f"{what.capitalize()}: {PSEUDO[what]}"
            unfolded = None if parts else ""
            parts.append(tag("details", tag("summary", summary), tag("div", plots, class_="plots"), open=unfolded))
    if not parts:
        return None
    told = (
        "What the network that labels the unlabeled images (here the teacher, be it an average, a peer or the student "
        "itself) says of a few crops of them, the same throughout the training. A class whose share falls to nothing "
        "is one that the unlabeled images teach away."
    )
    return join([tag("p", told), *parts])
