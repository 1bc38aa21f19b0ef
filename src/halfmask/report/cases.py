"""The worst, median and best case of the best run, shown for every run."""

from __future__ import annotations

from collections.abc import Sequence

from halfmask.report.gather import Entry
from halfmask.report.markup import Markup, join, tag
from halfmask.report.overlay import ALARM, COLORS, HIT, MISS
from halfmask.report.pictures import Row, case_pictures

SHOWN = 4
"""Runs whose pictures are open at once; the rest unfolds."""
MEANINGS = {
    HIT: "hit: the label's structure, found (plain)",
    MISS: "miss: labeled, but given to nothing or to another structure (striped)",
    ALARM: "false alarm: given to a structure that the label has not there (dotted)",
}


def chosen(best: Entry) -> dict[str, str]:
    """Worst, median and best case by mean Dice; fewer if there are fewer cases."""
    ranked = best.dice().sort_values(kind="stable").index
    found = {"Worst": ranked[0], "Median": ranked[(len(ranked) - 1) // 2], "Best": ranked[-1]}
    return {rank: case for n, (rank, case) in enumerate(found.items()) if case not in list(found.values())[:n]}


def cases_section(entries: Sequence[Entry]) -> Markup:
    """Pictures of the chosen cases, the best run first; what cannot be shown is told."""
    measured = [entry for entry in entries if entry.table is not None]
    best = max(measured, key=lambda entry: entry.dice().mean())
    ordered = [best, *(entry for entry in measured if entry is not best)]
    parts = [
        tag("p", f"Chosen by the mean Dice of {best.name}, the best run here; the planes are those with most of its "
            "errors, the same for all runs. In each pair the whole is left, and what is framed in it right. "
            "In scans anterior or superior is up, and the patient's right is on the left."),
        legend(),
    ]  # fmt: skip
    for n, (rank, case) in enumerate(chosen(best).items()):
        parts.append(tag("h3", f"{rank} case: {case}"))
        try:
            rows = case_pictures(case, [e for e in ordered if case in e.dice().index], f"c{n}")
        except (ValueError, OSError) as e:
            parts.append(tag("p", f"No pictures of this case: {e}.", class_="note"))
            continue
        parts.append(shown(case, rows, {e.name: float(e.dice().get(case, float("nan"))) for e in measured}))
    return join(parts)


def shown(case: str, rows: Sequence[Row], dice: dict[str, float]) -> Markup:
    """The lines of pictures of one case, the first few open, with the mean Dice of each where it is known."""
    definitions = tag("svg", tag("defs", [row.definitions for row in rows]), class_="definitions", aria_hidden="true")
    lines = [_line(row, f"mean Dice {dice[row.title]:.3f}" if row.title in dice else "") for row in rows]
    first, rest = lines[: SHOWN + 1], lines[SHOWN + 1 :]
    wide = f"runs n{len(rows[0].cells)}"
    more = f"{len(rest)} more {'run' if len(rest) == 1 else 'runs'} on {case}"
    folded = tag("details", tag("summary", more), tag("div", rest, class_=wide)) if rest else None
    return join([definitions, tag("div", first, class_=wide), folded])


def _line(row: Row, told: str) -> Markup:
    head = tag("h4", row.title, tag("span", f" {told}", class_="quiet") if told else None)
    if row.note:
        return tag("div", head, tag("p", f"Not shown: {row.note}.", class_="note"))
    return tag("div", head, tag("div", row.cells, class_=f"planes n{len(row.cells)}"), class_="pictures")


def legend() -> Markup:
    """A swatch a mark, patterned as in the pictures."""
    patterns = {
        HIT: None,
        MISS: tag("path", d="M2 14L14 2M-2 10L10 -2M6 18L18 6M10 22L22 10", class_="strong"),
        ALARM: tag("path", d="M4 4h2M10 4h2M4 8h2M10 8h2M4 12h2M10 12h2", class_="strong"),
    }
    items = [
        tag("li", tag("svg", tag("rect", x=1, y=1, width=14, height=14, class_="area"), patterns[mark],
                      viewBox="0 0 16 16", style=f"--mark:rgb{COLORS[mark]}", aria_hidden="true"), meaning)
        for mark, meaning in MEANINGS.items()
    ]  # fmt: skip
    return tag("ul", items, class_="legend")
