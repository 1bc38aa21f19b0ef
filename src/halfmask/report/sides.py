"""Source and target of runs: where their labels came from, and what they adapted to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from halfmask.evaluation.domains import UNKNOWN
from halfmask.report.gather import Entry

Domains = tuple[str, ...]


@dataclass(frozen=True)
class Sides:
    """The domains of a run; both None for one that knows none.

    Attributes:
        source: whose labels it read; target: whose images it was to adapt to.
        adapts: whether it learned from images of the target.
    """

    source: Domains | None = None
    target: Domains | None = None
    adapts: bool = False

    def part(self, domain: str) -> str:
        """What a domain was to the training, in a word or two."""
        if self.source is None or domain == UNKNOWN:
            return "–"
        target = self.target if self.adapts else ()
        parts = [name for name, side in (("source", self.source), ("target", target)) if domain in (side or ())]
        return " and ".join(parts) or "not seen"


def known_domains(entries: Sequence[Entry]) -> list[str]:
    """All that are told of: those of measured cases, and those that runs name."""
    measured = {domain for entry in entries for domain in entry.domains.values()}
    named = {str(name) for e in entries for key in ("source", "target") for name in e.run.get(key) or ()}
    return sorted(measured | named)


def sides(entry: Entry, known: Sequence[str]) -> Sides:
    """As the training takes them: a side that is not named is all but the other."""
    named = {
        key: None if entry.run.get(key) is None else tuple(map(str, entry.run[key])) for key in ("source", "target")
    }
    source, target = named["source"], named["target"]
    if source is None and target is None:
        return Sides()
    but = lambda other: tuple(name for name in known if name not in (other or ()))
    unlabeled = (entry.run.get("recipe") or {}).get("unlabeled")
    return Sides(
        but(target) if source is None else source,
        but(source) if target is None else target,
        unlabeled != 0,
    )


def common_target(entries: Sequence[Entry]) -> Domains | None:
    """The target that runs are judged on: the one of all that adapt, or else of all that name domains.

    None where there is none, they disagree, or no run was measured on a case of it.
    """
    known = known_domains(entries)
    found = [side for entry in entries if (side := sides(entry, known)).target]
    targets = {side.target for side in found if side.adapts} or {side.target for side in found}
    if len(targets) != 1:
        return None
    (target,) = targets
    measured = {e.domains.get(case) for e in entries if e.table is not None for case in e.table["case"]}
    return target if measured & set(target or ()) else None


def narrowed(entry: Entry, target: Domains | None) -> Entry:
    """The entry with the figures of the target's cases alone; without figures if it has none of them."""
    if target is None or entry.table is None:
        return entry
    rows = entry.table[entry.table["case"].map(lambda case: entry.domains.get(case) in target)]
    return replace(entry, table=rows if len(rows) else None)
