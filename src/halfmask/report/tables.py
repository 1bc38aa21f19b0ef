"""The result tables for a paper: Markdown and LaTeX (booktabs)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from halfmask.report.cells import Cell, Cells, cells, ranks
from halfmask.report.figures import decimals, title
from halfmask.report.result_table import Marks, columns, main_metrics, over_classes, reported_figures, told
from halfmask.report.study import Study, why_not
from halfmask.report.study_domains import domain_cells, domains_told, gap_shares, headed, share_told

ESCAPES = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "%": r"\%", "&": r"\&", "#": r"\#", "_": r"\_", "$": r"\$",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "−": "$-$", "±": r"$\pm$", "×": r"$\times$", "²": r"$^2$", "³": r"$^3$", "≥": r"$\ge$", "≤": r"$\le$",
    "★": r"$\star$", "†": r"$^\dagger$", "–": "--", "→": r"$\to$", "α": r"$\alpha$", "β": r"$\beta$",
    "λ": r"$\lambda$", "τ": r"$\tau$", "σ": r"$\sigma$",
}  # fmt: skip
"""What LaTeX would take for a command, or its usual fonts lack."""
SMOKE = "A smoke run on made-up data: the figures mean nothing."


@dataclass(frozen=True)
class Look:
    """How a cell is written: the mean best, second best or plain, what follows it, and names."""

    best: Callable[[str], str]
    second: Callable[[str], str]
    spread: str
    dagger: str
    name: Callable[[str], str]


def tables(study: Study, proven: Mapping[str, Marks]) -> dict[str, str]:
    """``table.md`` and ``table.tex``: Dice, and surface distances where they were measured; of classes recall, F1, AUC.

    Args:
        proven: by metric what is shown by arm and budget: that it differs from the baseline's by more than chance
            explains.
    """
    metrics = main_metrics(study) or [study.metric]
    printed = [_printed(study, m, proven.get(m, {})) for m in metrics]
    if by_domain := domain_cells(study, "dice"):
        printed.append(_by_domain(study, by_domain))
    return {
        "table.md": "\n".join(_markdown(study, table) for table in printed),
        "table.tex": "% needs \\usepackage{booktabs}\n" + "\n".join(_latex(study, table) for table in printed),
    }


def escaped(text: str) -> str:
    """Text that LaTeX prints as it stands."""
    return "".join(ESCAPES.get(sign, sign) for sign in text)


@dataclass(frozen=True)
class Printed:
    """A table to be written: the first ``names`` columns are words, all others figures.

    Attributes:
        rows: the look of a cell to all rows.
    """

    title: str
    key: str
    head: list[str]
    rows: Callable[[Look], list[list[str]]]
    note: str
    names: int = 1


def _printed(study: Study, metric: str, proven: Marks) -> Printed:
    rows = lambda look: _rows(study, metric, proven, look)
    return Printed(title(metric), metric, ["Method", *study.budgets], rows, _note(study, metric, proven))


def _by_domain(study: Study, found: Mapping[str, Cells]) -> Printed:
    """Dice of each domain apart, and the share of the gap that is closed on the target."""
    shares = gap_shares(study)

    def rows(look: Look) -> list[list[str]]:
        return [
            [look.name(arm), look.name(budget), *(_cell(of[arm, budget], "dice", str, False, look) for of in
             found.values()), *([look.name(share_told(study, shares, arm, budget))] if shares else [])]
            for budget in study.budgets for arm in study.arms
            if any(of[arm, budget].done for of in found.values())
        ]  # fmt: skip

    head = ["Method", "Budget", *(headed(study, name) for name in found), *["Gap closed"] * bool(shares)]
    said = f"{SMOKE} " * study.smoke + domains_told(study, shares)
    return Printed("Dice by domain", "dice-by-domain", head, rows, said, names=2)


def _markdown(study: Study, table: Printed) -> str:
    plain = lambda text: text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
    safe = lambda text: re.sub("<(?=[A-Za-z/!?])", "&lt;", plain(text))
    look = Look(lambda m: f"**{m}** ★", lambda m: f"<u>{m}</u>", " ± ", " †", safe)
    rows = [list(map(safe, table.head)), ["---"] * table.names + ["---:"] * (len(table.head) - table.names)]
    lines = ["| " + " | ".join(row) + " |" for row in [*rows, *table.rows(look)]]
    return "\n".join([f"## {safe(study.name)}: {table.title}", "", *lines, "", safe(table.note), ""])


def _latex(study: Study, table: Printed) -> str:
    best, second = lambda m: rf"\textbf{{{m}}}", lambda m: rf"\underline{{{m}}}"
    look = Look(best, second, r" $\pm$ ", r"$^\dagger$", escaped)
    rows = [" & ".join(row) + r" \\" for row in table.rows(look)]
    head = " & ".join(map(escaped, table.head)) + r" \\"
    note = escaped(table.note.replace("bold with ★", "bold"))
    columns = "l" * table.names + "r" * (len(table.head) - table.names)
    lines = [
        r"\begin{table}", r"\centering", rf"\caption{{{escaped(study.name)}: {escaped(table.title)}. {note}}}",
        rf"\begin{{tabular}}{{{columns}}}", r"\toprule", head, r"\midrule", *rows, r"\bottomrule",
        r"\end{tabular}", rf"\label{{tab:{_slug(study.name)}-{_slug(table.key)}}}", r"\end{table}", "",
    ]  # fmt: skip
    return "\n".join(lines)


def _slug(name: str) -> str:
    """A name within a label of LaTeX."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _rows(study: Study, metric: str, proven: Marks, look: Look) -> list[list[str]]:
    found = cells(study, metric)
    marked = {budget: ranks(metric, column) for budget, column in columns(study, found).items()}
    reported = reported_figures(study, metric, None)
    rows = []
    for arm in study.arms:
        row = [look.name(arm)]
        for b in study.budgets:
            mark = look.best if arm in marked[b][0] else look.second if arm in marked[b][1] else str
            row.append(_cell(found[arm, b], metric, mark, proven.get((arm, b), False), look))
        rows.append(row)
        if any(key[0] == arm for key in reported):
            theirs = [reported.get((arm, b)) for b in study.budgets]
            rows.append(
                [look.name(f"{arm}, reported"), *("–" if v is None else f"{v:.{decimals(metric, v)}f}" for v in theirs)]
            )
    return rows


def _cell(cell: Cell, metric: str, mark: Callable[[str], str], proven: bool, look: Look) -> str:
    if not cell.planned:
        return "–"
    if not cell.done:
        return "not run"
    if cell.values.empty:
        return "undefined"
    digits = decimals(metric, cell.mean)
    spread = "" if math.isnan(cell.spread) else f"{look.spread}{cell.spread:.{digits}f}"
    some = [] if cell.whole else [f"{cell.done} of {cell.planned} runs"]
    some += [f"{cell.undefined} undefined"] if cell.undefined else []
    return mark(f"{cell.mean:.{digits}f}") + spread + look.dagger * proven + (f" ({', '.join(some)})" if some else "")


def _note(study: Study, metric: str, proven: Marks) -> str:
    """What is shown, and what of it could not be."""
    found = cells(study, metric)
    parts = [SMOKE] if study.smoke else []
    parts.append(told(study, found, proven, metric))
    if study.classifies and (said := over_classes(metric)):
        parts.append(said)
    reported = study.told.get("reported") or {}
    if reported.get("metric") == metric:
        parts.append(f"Reported: {reported['source']}.")
    reasons: dict[str, list[str]] = {}
    for run in study.runs:
        if (why := why_not(run)) and run["arm"] not in reasons.setdefault(why, []):
            reasons[why].append(run["arm"])
    if reasons:
        parts.append("Not run: " + "; ".join(f"{', '.join(arms)}: {why}" for why, arms in reasons.items()) + ".")
    return " ".join(parts)
