"""The table of metrics: runs down, structures and metrics across, the best of each marked."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from halfmask.evaluation.classification import COUNTS, LOWER_IS_BETTER
from halfmask.evaluation.metrics import DISTANCES, UNITS, VOLUME
from halfmask.evaluation.table import KEYS, MEAN, summary
from halfmask.report.gather import Entry
from halfmask.report.markup import Markup, join, tag

MAIN = ("dice", "hd95", "assd")
TITLES = {"dice": "Dice", "iou": "IoU", "f1": "F1", "hd": "HD", "hd95": "HD95", "assd": "ASSD", "masd": "MASD",
          "lesion_f1": "lesion F1", "volume_error_ml": "volume error (ml)", "auc": "AUC",
          "average_precision": "average precision", "f1_micro": "F1, micro", "recall_micro": "recall, micro",
          "precision_micro": "precision, micro", "ece": "ECE", "brier": "Brier score"}  # fmt: skip
WHOLE = "mean of structures"


def shared_cases(entries: Sequence[Entry]) -> list[str]:
    """Cases that every measured run has, so that rows can be compared."""
    cases = [set(entry.table["case"]) for entry in entries if entry.table is not None]
    return sorted(set.intersection(*cases)) if cases else []


def figures_section(entries: Sequence[Entry], of_target: str = "") -> Markup:
    """The main metrics, and all others folded; ``of_target`` says which cases they are."""
    measured = [entry for entry in entries if entry.table is not None]
    shared = shared_cases(measured)
    most = max(len(entry.dice()) for entry in measured)
    told = f"Mean ± standard deviation over {len(shared)} cases{of_target}."
    if len(shared) < most:
        told = (
            f"Mean ± standard deviation over the {len(shared)} cases{of_target} that all runs have; "
            f"{most - len(shared)} were left out."
            if shared
            else "The runs have no case in common: each row is over its own cases, and no best is marked."
        )
    sums = {
        e.name: summary(e.table[e.table["case"].isin(shared)] if shared else e.table)
        for e in measured
        if e.table is not None
    }
    metrics = list(dict.fromkeys(m for s in sums.values() for m in s["metric"]))
    main, rest = [m for m in MAIN if m in metrics], [m for m in metrics if m not in MAIN]
    mark = bool(shared) and len(measured) > 1
    stars = " ★ and bold mark the best of each column." if mark else ""
    undefined = (
        " Distances are undefined where one of two masks is empty; such cases are counted, not averaged, and a run "
        "that has more of them than another is not marked before it."
    )
    parts = [tag("p", told + stars + (undefined if any((s["undefined"] > 0).any() for s in sums.values()) else ""))]
    parts.append(_table("Main metrics", sums, main, mark=mark))
    if rest:
        parts.append(tag("details", tag("summary", "All other metrics"),
                         _table("All other metrics", sums, rest, mark=mark)))  # fmt: skip
    return join(parts)


def _table(caption: str, sums: dict[str, pd.DataFrame], metrics: Sequence[str], *, mark: bool) -> Markup:
    structures = list(dict.fromkeys(s for table in sums.values() for s in table["structure"]))
    structures = [s for s in structures if s != MEAN]
    if len(structures) > 1:
        structures = [MEAN, *structures]
    cells = {name: {(r["structure"], r["metric"]): r for r in table.to_dict("records")} for name, table in sums.items()}
    columns = [(s, m) for s in structures for m in metrics]
    best = {c: best_of(c[1], {name: found[c] for name, found in cells.items() if c in found}) for c in columns}
    top = tag("tr", tag("th", "Run", rowspan=2, scope="col"), [
        tag("th", WHOLE if s == MEAN else s, colspan=len(metrics), scope="colgroup") for s in structures
    ])  # fmt: skip
    below = tag("tr", [tag("th", title(m), scope="col", class_="first" if m == metrics[0] else None)
                       for _, m in columns])  # fmt: skip
    rows = [
        tag("tr", tag("th", name, scope="row"), [
            figure(found.get(c), c[1], mark and name in best[c], c[1] == metrics[0]) for c in columns
        ])
        for name, found in cells.items()
    ]  # fmt: skip
    table = tag("table", tag("thead", top, below), tag("tbody", rows))
    return tag("div", table, class_="scroll", tabindex=0, role="region", aria_label=caption)


def best_of(metric: str, rows: dict[str, dict]) -> set[str]:
    """The runs with the best mean, of those with the fewest undefined cases; none where no order is meant.

    A run whose worst cases are undefined must not win by their absence. What is shown as equal is equally good.
    """
    if metric in (*VOLUME, *COUNTS) or len(rows) < 2:
        return set()
    fewest = min(row["undefined"] for row in rows.values())
    means = {
        name: row["mean"]
        for name, row in rows.items()
        if row["undefined"] == fewest and not math.isnan(row["mean"])
    }  # fmt: skip
    if not means:
        return set()
    target = (min if metric in (*DISTANCES, *LOWER_IS_BETTER) else max)(means.values())
    shown = lambda mean: f"{mean:.{decimals(metric, mean)}f}"
    return {name for name, mean in means.items() if shown(mean) == shown(target)}


def figure(row: dict | None, metric: str, best: bool = False, first: bool = False) -> Markup:
    """A cell of what `summary` says of a metric; ``first`` of its group of columns."""
    edge = "first" if first else None
    if row is None:
        return tag("td", "–", class_=edge)
    if math.isnan(row["mean"]):
        return tag("td", f"undefined ({row['undefined']})", class_=edge)
    digits = decimals(metric, row["mean"])
    mean = f"{row['mean']:.{digits}f}"
    spread = None if math.isnan(row["sd"]) else tag("span", f" ± {row['sd']:.{digits}f}", class_="quiet")
    star = [tag("span", "★", aria_hidden="true"), tag("span", "best: ", class_="unseen")]
    undefined = tag("span", f" ({row['undefined']} undefined)", class_="quiet") if row["undefined"] else None
    return tag("td", tag("strong", star, mean) if best else mean, spread, undefined, class_=edge)


def decimals(metric: str, mean: float) -> int:
    """Digits after the point: three for shares, none for counts, two or fewer for millimeters and milliliters."""
    if metric in UNITS or metric.endswith("_ml"):
        return 2 if abs(mean) < 10 else 1 if abs(mean) < 1000 else 0
    return 0 if metric in COUNTS else 3


def title(metric: str) -> str:
    """``HD95 (mm)``."""
    name = TITLES.get(metric, metric.replace("_", " "))
    return f"{name} ({UNITS[metric]})" if metric in UNITS else name


def values(entry: Entry, structure: str, metric: str, cases: Sequence[str] | None = None) -> pd.Series:
    """A metric by case, of a structure or of their mean as `summary` takes it (undefined if one is)."""
    assert entry.table is not None
    table = entry.table if cases is None else entry.table[entry.table["case"].isin(cases)]
    wide = table.set_index(KEYS)[metric].unstack("structure")
    return wide.mean(axis=1, skipna=False) if structure == MEAN else wide[structure]
