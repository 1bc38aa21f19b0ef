"""The arms of a study on each domain apart, and how much of the gap to the ceiling each closes on the target."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from halfmask.evaluation.domains import UNKNOWN
from halfmask.evaluation.statistics.gap import LEAST, Closed, closed
from halfmask.evaluation.statistics.sentence import closed_share
from halfmask.report.cells import Cells, cells
from halfmask.report.document import folded, rows_head, scrolled
from halfmask.report.figures import MAIN, title
from halfmask.report.markup import Markup, breakable, join, tag
from halfmask.report.result_table import caption, figure
from halfmask.report.study import Study

Shares = Mapping[tuple[str, str], Closed]
"""By arm and budget, of those that have runs and cases in common with baseline and ceiling."""


def domain_section(study: Study) -> Markup | None:
    """Dice in the open, the other main metrics and the shares of single draws folded; None without domains."""
    found = domain_cells(study, "dice")
    if not found:
        return None
    shares = gap_shares(study)
    parts = [tag("p", domains_told(study, shares)), _table(study, "dice", found, shares)]
    others = [m for m in MAIN if m in study.metrics and m != "dice"]
    parts += [folded(f"{title(m)} by domain", _table(study, m, domain_cells(study, m), {})) for m in others]
    if len(draws := list(dict.fromkeys(d for c in shares.values() for d in draws_told(c)))) > 1:
        parts.append(folded("Share of the gap closed by draw and seed", _each(study, shares, draws)))
    return join(parts)


def domain_cells(study: Study, metric: str) -> dict[str, Cells]:
    """The cells of each domain, source first and target last; empty unless there are several, or a target."""
    rank = {"source": 0, "": 1, "target": 2}
    names = sorted(set(map(str, study.every["domain"])), key=lambda name: (rank[side(study, name)], name))
    if study.classifies or (len(names) < 2 and not study.target):
        return {}
    of = lambda name: replace(study, table=study.every[study.every["domain"] == name])
    return {name or UNKNOWN: cells(of(name), metric) for name in names}


def side(study: Study, domain: str) -> str:
    """What a domain is to the study: target, source or nothing. Rows of the study file may have their own."""
    if domain in study.target:
        return "target"
    source = (study.told.get("study") or {}).get("source")
    read = bool(study.target and domain and domain != UNKNOWN) if source is None else domain in source
    return "source" if read else ""


def headed(study: Study, domain: str) -> str:
    """``B (target)``."""
    return f"{domain} ({said})" if (said := side(study, domain)) else domain


def gap_shares(study: Study) -> dict[tuple[str, str], Closed]:
    """What each arm closes of the gap between baseline and ceiling, at each budget; empty without these two."""
    if study.baseline is None or study.ceiling is None:
        return {}
    found = {
        (arm, budget): closed(study.table, arm=arm, baseline=study.baseline, ceiling=study.ceiling, budget=budget)
        for arm in study.measured() for budget in study.budgets
        if arm not in (study.baseline, study.ceiling)
    }  # fmt: skip
    return {key: share for key, share in found.items() if share is not None}


def domains_told(study: Study, shares: Shares) -> str:
    """What the table of domains shows."""
    said = f"Mean Dice ± standard deviation over the {study.unit}s of each domain."
    if study.target:
        said += (
            " The source is where the study's methods read labels, the target what they adapt to by images alone, "
            "unless the study file says otherwise of one."
        )
    if study.ceiling:
        said += f" The ceiling, {study.ceiling}, learned from labels of the target."
    if shares:
        said += (
            f" The share of the gap closed is (method − {study.baseline}) / ({study.ceiling} − {study.baseline}), of "
            f"mean Dice{study.of_target} over the runs and cases that all three have: 0 % is no better than "
            f"{study.baseline}, 100 % as good as {study.ceiling}; in brackets its 95 % bootstrap interval."
        )
    if not all(share.there for share in shares.values()):
        said += (
            " No share is told where the interval of the gap itself holds 0, or the gap is below "
            f"{100 * LEAST:g} point of Dice."
        )
    return said


def share_told(study: Study, shares: Shares, arm: str, budget: str) -> str:
    """``62 % [41, 80]``, or what stands in its place."""
    found = shares.get((arm, budget))
    if arm in (study.baseline, study.ceiling):
        return "baseline" if arm == study.baseline else "ceiling"
    return "–" if found is None else closed_share(found) if found.there else "no gap"


def draws_told(found: Closed) -> dict[str, str]:
    """The share by draw and seed: ``{"draw 0, seed 1": "62 %"}``."""
    names = found.each.index.names
    told = {}
    for key, share in found.each.items():
        by = dict(zip(names, key if isinstance(key, tuple) else (key,), strict=True))
        if by.get("draw") == by.get("seed"):
            del by["draw"]
        shown = "no gap" if math.isnan(share) else f"{round(100 * share) + 0:d} %".replace("-", "−")
        told[", ".join(f"{name} {value}" for name, value in by.items())] = shown
    return told


def _table(study: Study, metric: str, found: Mapping[str, Cells], shares: Shares) -> Markup:
    """Arms down, a group of rows a budget; domains across."""
    head = tag(
        "tr", tag("th", "Method", scope="col"),
        [tag("th", headed(study, name), scope="col") for name in found],
        tag("th", "Share of the gap closed", scope="col") if shares else None,
    )  # fmt: skip
    bodies = []
    for budget in study.budgets:
        rows = [
            tag("tr", tag("th", breakable(arm), scope="row"),
                [tag("td", "–") if not of[arm, budget].done else figure(of[arm, budget], metric)
                 for of in found.values()],
                tag("td", share_told(study, shares, arm, budget)) if shares else None)
            for arm in study.arms if any(of[arm, budget].done for of in found.values())
        ]  # fmt: skip
        if len(study.budgets) > 1 and rows:
            width = 1 + len(found) + bool(shares)
            rows.insert(0, tag("tr", rows_head(budget, width)))
        bodies.append(tag("tbody", rows) if rows else None)
    return scrolled(f"{caption(study, metric, None)}, by domain", tag("table", tag("thead", head), bodies))


def _each(study: Study, shares: Shares, draws: list[str]) -> Markup:
    several = len(study.budgets) > 1
    head = tag("tr", [tag("th", name, scope="col") for name in ("Method", *["Budget"] * several, *draws)])
    rows = [
        tag("tr", tag("th", breakable(arm), scope="row"), tag("td", budget) if several else None,
            [tag("td", draws_told(share).get(draw, "–")) for draw in draws])
        for (arm, budget), share in shares.items()
    ]  # fmt: skip
    return scrolled("Share of the gap closed by draw and seed", tag("table", tag("thead", head), tag("tbody", rows)))
