"""The figures of runs on each domain apart."""

from __future__ import annotations

from collections.abc import Sequence

from halfmask.evaluation.domains import UNKNOWN, by_domain
from halfmask.evaluation.table import MEAN, summary
from halfmask.report.document import rows_head, scrolled
from halfmask.report.figures import figure, title
from halfmask.report.gather import Entry
from halfmask.report.markup import Markup, breakable, join, tag
from halfmask.report.sides import known_domains, sides

METRICS = ("dice", "hd95")


def domain_section(entries: Sequence[Entry], target: Sequence[str] | None = None) -> Markup | None:
    """A group of rows a domain, a row a run; None unless cases are of several, or a run has a source or target."""
    known = known_domains(entries)
    of = {entry.name: sides(entry, known) for entry in entries}
    tables = {e.name: by_domain(e.table, e.domains) for e in entries if e.table is not None}
    names = sorted({name for found in tables.values() for name in found}, key=lambda name: (name == UNKNOWN, name))
    adapted = any(of[name].source is not None for name in tables)
    if not tables or (len(names) < 2 and not adapted):
        return None
    metrics = [m for m in METRICS if any(e.table is not None and m in e.table for e in entries)]
    columns = ["Run", *map(title, metrics), "Cases", *["In training"] * adapted]
    bodies = []
    for name in names:
        heading = f"Domain {name}" + (", the target" if name in (target or ()) else "")
        rows = [tag("tr", rows_head(heading, len(columns)))]
        for run, found in tables.items():
            if name not in found:
                continue
            sums = {r["metric"]: r for r in summary(found[name]).to_dict("records") if r["structure"] == MEAN}
            part = tag("td", of[run].part(name)) if adapted else None
            rows.append(tag("tr", tag("th", breakable(run), scope="row"), [figure(sums.get(m), m) for m in metrics],
                            tag("td", found[name]["case"].nunique()), part))  # fmt: skip
        bodies.append(tag("tbody", rows))
    told = (
        "Mean ± standard deviation over the cases of each domain; the figure of a case is the mean of its structures."
    )
    if adapted:
        told += (
            " The source is what a run read labels of, the target what it adapted to by images alone; of a domain that "
            "is neither it saw nothing."
        )
    head = tag("tr", [tag("th", column, scope="col") for column in columns])
    return join([tag("p", told), scrolled("Metrics by domain", tag("table", tag("thead", head), bodies))])
