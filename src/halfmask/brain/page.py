"""One page over all subjects: what is suspicious first, then every subject's sheet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from halfmask.brain.write import read_steps
from halfmask.report.document import document, scrolled
from halfmask.report.markup import Markup, breakable, join, tag


def quality_page(out: Path, cases: Sequence[str], names: Sequence[str], failed: Sequence[str]) -> str:
    """HTML that shows the sheets beside it in ``out``, those to look at first."""
    steps = {case: read_steps(out / "subjects" / case) for case in cases}
    flagged = [case for case in cases if steps[case]["flags"]]
    ordered = [*flagged, *(case for case in cases if not steps[case]["flags"])]
    said = f"{len(cases)} subjects were brought, {len(flagged)} of them to be looked at, {len(failed)} failed."
    above = [tag("h1", "Brains: what was done, and whether to believe it"), tag("p", said)]
    sections = [("table", "Figures", _table(ordered, steps, names))]
    if failed:
        sections.insert(0, ("failed", "Failed", tag("ul", [tag("li", why) for why in failed])))
    sections.append(("sheets", "Sheets", join(_sheet(case, steps[case]) for case in ordered)))
    return document("Brains", above, sections, f"{out.name}/subjects")


def _table(cases: Sequence[str], steps: dict[str, Any], names: Sequence[str]) -> Markup:
    others = names[1:]
    head = ["subject", "brain, ml", "to reference, mm", "°", "within reference"]
    head += [*(f"{name} moved, mm" for name in others), *(f"{name} shared" for name in others)]
    head += ["seconds", "flags"]
    named = lambda case: tag("th", tag("a", breakable(case), href=f"#{case}"), scope="row")
    rows = [tag("tr", [named(case), *_cells(steps[case], others)]) for case in cases]
    table = tag("table", tag("thead", tag("tr", [tag("th", h, scope="col") for h in head])), tag("tbody", rows))
    told = (
        "Moved: how far the middle of the first modality's view lay from its place in the other. Shared: information "
        "that a modality shares with the first within the brain, 0 to 1. Seconds: on one core."
    )
    return join([scrolled("Figures", table), tag("p", told)])


def _cells(steps: dict[str, Any], others: Sequence[str]) -> list[Markup]:
    figures = steps["figures"]
    placed, within = figures.get("to_reference") or {}, figures.get("within_reference")
    aligned, shared = figures.get("aligned", {}), figures.get("shared_information", {})
    values: list[Any] = [f"{figures['milliliters']:.0f}", _plain(placed.get("mm")), _plain(placed.get("degrees"))]
    values += ["–" if within is None else f"{within:.0%}"]
    values += [_plain(aligned.get(name, {}).get("mm")) for name in others]
    values += [f"{shared[name]:.2f}" if name in shared else "–" for name in others]
    values += [f"{sum(figures['seconds'].values()):.0f}", len(steps["flags"]) or ""]
    return [tag("td", value) for value in values]


def _sheet(case: str, steps: dict[str, Any]) -> Markup:
    flags = tag("ul", [tag("li", flag) for flag in steps["flags"]]) if steps["flags"] else None
    picture = tag("img", src=f"subjects/{case}/sheet.png", alt=f"Planes of {case}, before and after", loading="lazy",
                  style="max-width:100%")  # fmt: skip
    return tag("section", tag("h3", case, id=case), flags, tag("a", picture, href=f"subjects/{case}/sheet.png"))


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
