"""Who has which color and which dashes, the same in all plots of a page."""

from __future__ import annotations

from collections.abc import Sequence

from halfmask.report.gather import Entry
from halfmask.report.scale import STYLES


def run_styles(entries: Sequence[Entry]) -> dict[str, str]:
    """A color a method, and dashes that tell apart its runs, and methods without color."""
    found: dict[str, str] = {}
    methods = list(dict.fromkeys(entry.method for entry in entries))
    for n, method in enumerate(methods):
        for k, entry in enumerate(e for e in entries if e.method == method):
            found[entry.name] = f"s{n % STYLES} d{(n + k) % STYLES}"
    return found


def arm_styles(arms: Sequence[str]) -> dict[str, str]:
    """A color an arm, and dashes that tell arms apart without it."""
    return {arm: f"s{n % STYLES} d{(n + n // STYLES) % STYLES}" for n, arm in enumerate(arms)}
