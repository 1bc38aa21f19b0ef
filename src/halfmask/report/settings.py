"""Settings that differ first, then all of them; what the runs were made with, and how to make them again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from halfmask.report.commands import commands
from halfmask.report.gather import Entry
from halfmask.report.groups import flat
from halfmask.report.markup import Markup, join, tag

MADE = {
    "halfmask": "halfmask", "python": "Python", "torch": "PyTorch", "system": "system", "processor": "processor",
    "cores": "cores",
}  # fmt: skip
TRAINED = {"device": "device", "processes": "processes", "threads": "threads", "steps": "steps",
           "peak_memory_gib": "most GPU memory (GiB)"}  # fmt: skip


def settings_section(entries: Sequence[Entry]) -> Markup:
    """What differs between the runs in the open, all else folded."""
    told = {entry.name: flat(entry.run) for entry in entries}
    names = list(dict.fromkeys(name for settings in told.values() for name in settings))
    differ = [name for name in names if len({_text(s.get(name)) for s in told.values()}) > 1]
    parts = []
    if len(entries) > 1:
        parts.append(tag("h3", "What differs"))
        parts.append(_table("Settings that differ", told, differ) if differ else tag("p", "Nothing."))
    parts.append(tag("details", tag("summary", "All settings"), _table("All settings", told, names)) if names else
                 tag("p", "No settings are known."))  # fmt: skip
    return join(parts)


def origin_section(entries: Sequence[Entry]) -> Markup:
    """Versions, hardware and times in a table; the commands of each run folded."""
    told = {entry.name: _origin(entry) for entry in entries}
    names = list(dict.fromkeys(name for found in told.values() for name, value in found.items() if value is not None))
    parts = [_table("Versions, hardware and times", told, names) if names else tag("p", "Nothing is known of this.")]
    for entry in entries:
        if lines := commands(entry):
            listing = tag("pre", tag("code", "\n".join(lines)), tabindex=0, role="region",
                          aria_label=f"Commands of {entry.name}")  # fmt: skip
            parts.append(tag("details", tag("summary", f"Commands to make {entry.name} again"), listing))
    return join(parts)


def _origin(entry: Entry) -> dict[str, Any]:
    made = entry.result.get("made_with") or {}
    found = {shown: made.get(key) for key, shown in MADE.items()} if entry.result else {}
    found |= {shown: entry.result[key] for key, shown in TRAINED.items() if key in entry.result}
    if "seconds" in entry.result:
        found["training time"] = duration(entry.result["seconds"])
    if "labeled" in entry.result:
        found["labeled cases"] = len(entry.result["labeled"])
    if "unlabeled" in entry.result:
        found["unlabeled cases"] = entry.result["unlabeled"]
    if entry.prediction:
        found["checkpoint"] = entry.prediction.get("checkpoint")
    return found


def duration(seconds: float) -> str:
    """``42 s``, ``7 min 25 s``, ``3 h 20 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _table(caption: str, told: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> Markup:
    head = tag("tr", tag("th", "", scope="col"), [tag("th", run, scope="col") for run in told])
    rows = [
        tag("tr", tag("th", name, scope="row"), [tag("td", _text(found.get(name))) for found in told.values()])
        for name in names
    ]
    table = tag("table", tag("thead", head), tag("tbody", rows), class_="words")
    return tag("div", table, class_="scroll", tabindex=0, role="region", aria_label=caption)


def _text(value: Any) -> str:
    """A list of cases is long: its length, and the first few."""
    if value is None:
        return "–"
    if isinstance(value, list | tuple):
        few = ", ".join(map(str, value[:6]))
        return f"{len(value)}: {few}, …" if len(value) > 6 else few or "–"
    return f"{value:g}" if isinstance(value, float) else str(value)
