"""Contestants turn by turn, and a table of what came of it: what all benchmarks share."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

AHEAD = 1.05
"""A ratio below this may be noise, and needs a reason."""


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        what: was done, with its size.
        unit: of ``ours`` and ``theirs``, the less the better, such as "ms a crop".
        agree: how far both give the same values.
        low, high: quartiles of the turns' own ratios.
    """

    what: str
    rival: str
    unit: str
    ours: float
    theirs: float
    agree: str
    low: float | None = None
    high: float | None = None

    @property
    def ratio(self) -> float:
        """How many times more the rival needs; above 1 we are ahead."""
        return self.theirs / self.ours

    @property
    def behind(self) -> bool:
        """Not clearly ahead."""
        return self.ratio < AHEAD


Times = dict[str, list[float]]
"""Contestant → milliseconds of each turn."""


def by_turns(contestants: Mapping[str, Callable[[], object]], rounds: int, warm: int = 1) -> Times:
    """Milliseconds of each call. In every round each contestant has its turn, so a busy machine slows all alike.

    Args:
        warm: rounds before those that count; they compile and fill caches.
    """
    times: Times = {name: [] for name in contestants}
    for round_ in range(warm + rounds):
        for name, call in contestants.items():
            start = time.perf_counter()
            call()
            if round_ >= warm:
                times[name].append(1000 * (time.perf_counter() - start))
    return times


def compare(what: str, times: Times, ours: str, *, unit: str, agree: Mapping[str, str], per: float = 1) -> list[Row]:
    """A row for each rival, of medians.

    Args:
        agree: rival → how far its values are ours; contestants that are not named here get no row.
        per: crops, batches, … that one call gives.
    """
    mine = times[ours]
    rows = []
    for rival, agreement in agree.items():
        ratios = [theirs / own for own, theirs in zip(mine, times[rival], strict=True)]
        low, _, high = statistics.quantiles(ratios, n=4)
        medians = [statistics.median(times[name]) / per for name in (ours, rival)]
        rows.append(Row(what, rival, unit, *medians, agreement, low, high))
    return rows


def arguments(doc: str | None, **defaults: int) -> argparse.ArgumentParser:
    """A parser with the whole-number options given and --json, which `finish` reads."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--json", type=Path, help="write the rows here, too")
    return parser


def finish(rows: Sequence[Row], json_file: Path | None, missing: Sequence[str] = ()) -> None:
    """Print the rows; write them for run_all.py, if it asked.

    Args:
        missing: rivals that are not installed here.
    """
    print(table(rows))
    for name in missing:
        print(f"{name} is not installed, so it was not measured.")
    if json_file is not None:
        json_file.write_text(json.dumps({"rows": [asdict(r) for r in rows], "missing": list(missing)}))


def table(rows: Sequence[Row], reasons: Mapping[str, str] | None = None) -> str:
    """The rows in Markdown; with ``reasons`` (see run_all.py) a column for them."""
    head = ["what", "ours", "rival", "its figure", "ratio", "values"] + ["why not ahead"] * (reasons is not None)
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in rows:
        spread = "" if row.low is None or row.high is None else f" ({row.low:.2f}–{row.high:.2f})"
        cells = [row.what, f"{_short(row.ours)} {row.unit}", row.rival, _short(row.theirs)]
        cells += [f"{row.ratio:.2f}×{spread}", row.agree]
        if reasons is not None:
            cells.append(reasons.get(f"{row.what} / {row.rival}", "") if row.behind else "")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
