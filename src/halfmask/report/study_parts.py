"""What the pages on all kinds of studies share: what stands above, and the trainings."""

from __future__ import annotations

from collections.abc import Mapping

from halfmask.report.curves import curve_plots
from halfmask.report.disagreement import entry_of
from halfmask.report.document import folded
from halfmask.report.gather import Entry
from halfmask.report.headline import Headline
from halfmask.report.markup import Markup, tag
from halfmask.report.study import Study
from halfmask.report.tables import SMOKE


def above(study: Study, found: Headline) -> list[Markup]:
    """Name, question and findings."""
    first, *rest = found.differences
    said = [*rest, *found.labels]
    loud = tag("p", tag("strong", SMOKE), class_="note") if study.smoke else None
    question = study.told.get("question")
    parts = [
        tag("h1", "halfmask study: ", study.name),
        tag("p", question, class_="question") if question else None,
        loud,
        tag("p", first, class_="summary"),
        tag("ul", [tag("li", line) for line in said], class_="found") if said else None,
        tag("p", " ".join(found.caveats), class_="quiet") if found.caveats else None,
    ]
    return [part for part in parts if part is not None]


def training_section(study: Study, styles: Mapping[str, str]) -> Markup | None:
    """The first finished run of each arm, at the budget that comes first among them."""
    entries = _first_runs(study)
    plots = curve_plots(entries, styles)
    if plots is None:
        return None
    told = f"The first run of each arm: {', '.join(str(e.folder.name) for e in entries if e.folder is not None)}."
    return folded("Curves of one run of each arm", tag("p", told), plots)


def _first_runs(study: Study) -> list[Entry]:
    done = [run for run in study.runs if run["state"] == "done"]
    first = {arm: next((run["name"] for run in done if run["arm"] == arm), None) for arm in study.arms}
    return [entry_of(study, arm, run) for arm, run in first.items() if run is not None]
