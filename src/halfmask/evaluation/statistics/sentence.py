"""What the statistics say, in plain English, without the final period."""

from __future__ import annotations

import math
from collections.abc import Sequence

from halfmask.evaluation.metrics import DISTANCES
from halfmask.evaluation.statistics.break_even import ROUNDING, BreakEven, Next
from halfmask.evaluation.statistics.chance import p_value
from halfmask.evaluation.statistics.direction import SHARES, lower_is_better
from halfmask.evaluation.statistics.gap import Closed
from halfmask.evaluation.statistics.learning import Axis
from halfmask.evaluation.statistics.paired import CHANCE, Difference

NAMES = {"dice": "Dice", "iou": "IoU", "f1": "F1", "volume_error_ml": "volume error", "hd95_directed": "directed HD95"}
ROUGH = 0.1
"""The `Law.misfit` from which a sentence says so: a tenth of what the labels brought."""
UPPER = ("hd", "hd95", "assd", "masd")


def difference_sentence(found: Difference) -> str:
    """``A beats B by 3.1 Dice points [1.9, 4.4] with 3 labels, p = 0.002 (Holm), in 11 of 14 patients``.

    Where `Difference.shown` is false it claims nothing: ``no difference shown between A and B …``, or, with too few
    units for a test, what was measured.
    """
    about = f"{_on(found.structure)} with {found.budget}"
    if found.shown:
        winner, loser = (found.arm, found.rival) if found.gain > 0 else (found.rival, found.arm)
        size = sorted(map(abs, (found.low, found.high)))
        better = max(found.better, found.worse)
        return (
            f"{winner} beats {loser} by {amount(abs(found.mean), found.metric)} {_span(size, found.metric)}{about}, "
            f"{_chance(found)}, in {better} of {_count(found.units, found.unit)}"
        )
    told = f"{amount(found.mean, found.metric, signed=True)}"
    span = _span((found.low, found.high), found.metric)
    lower = " (lower is better)" if lower_is_better(found.metric) else ""
    if found.p is None:
        return (
            f"{found.arm} against {found.rival}{about}: {told}{span and ' '}{span}{lower}, better in {found.better} of "
            f"{_count(found.units, found.unit)}; too few {found.unit}s for a test"
        )
    though = "though " if found.p < CHANCE else ""
    return (
        f"no difference shown between {found.arm} and {found.rival}{about}: {told} {span}{lower}, "
        f"{though}{_chance(found)}"
    )


def caveats(found: Difference) -> list[str]:
    """What a comparison rests on that its sentence does not say; empty if nothing is missing."""
    told = []
    if found.repetitions == 1:
        told.append(f"each {found.unit} was measured once, so other draws and seeds may differ")
    if found.repetitions == 2:
        told.append(
            f"each {found.unit} was measured twice: that says little of other draws and seeds, and the interval may be "
            "too narrow"
        )
    if found.unpaired:
        told.append(f"left out: {_count(found.unpaired, 'run')} that only one of the two has")
    if found.left_out:
        told.append(f"left out: {_count(found.left_out, 'result')} undefined or missing in one of the two")
    return told


def break_even_sentence(found: BreakEven) -> str:
    """``6 labels with A equal 14 labels B [11, 19]``; ``more than 28 labels`` where the curve tells no more."""
    budget = found.budget
    if found.by == "labels" and not budget.startswith(f"{found.x:.0f} label"):
        budget = f"{budget} ({found.x:.0f})"
    ends = [_bounded(end, found) for end in (found.low, found.high)]
    span = "" if math.isnan(found.low) or ends[0] == ends[1] else f" [{', '.join(ends)}]"
    beyond = " (extrapolated)" if found.extrapolated and found.found else ""
    rough = " (the fit is rough)" if found.misfit > ROUGH else ""
    equal = _bounded(found.equal, found)
    noun = _noun(equal, found.by)
    verb = "equals" if budget.startswith("1 ") else "equal"
    return f"{budget} with {found.arm} {verb} {equal} {noun} {found.baseline}{span}{beyond}{rough}"


def next_sentence(found: Next) -> str:
    """``7 → 14 labels would bring A about 2.1 Dice points [1.0, 3.0] (if the fitted curve holds)``."""
    rough = ", a rough fit" if found.misfit > ROUGH else ""
    source = "if the fitted curve holds" if found.kind == "power law" else "by a line through two budgets"
    span = _span((found.low, found.high), found.metric)
    less = " less" if lower_is_better(found.metric) else ""
    now, then = _amount_of_labels(found.x, found.by), _amount_of_labels(found.then, found.by)
    return (
        f"{now} → {then} {_noun(then, found.by)} would bring {found.arm} about "
        f"{amount(found.gain, found.metric)}{less}{span and ' '}{span}{_on(found.structure)} ({source}{rough})"
    )


def closed_sentence(found: Closed) -> str:
    """``A closes 62 % [41, 80] of the gap between B and C with 3 labels, which is 8.3 Dice points [6.0, 10.1]``."""
    span = _span((found.gap_low, found.gap_high), found.metric)
    size = f"{amount(found.gap, found.metric, signed=not found.there)}{span and ' '}{span}"
    if found.there:
        return (
            f"{found.arm} closes {closed_share(found)} of the gap between {found.baseline} and {found.ceiling} with "
            f"{found.budget}, which is {size}"
        )
    return (
        f"no gap between {found.baseline} and {found.ceiling} is shown with {found.budget} that could be closed: "
        f"{found.ceiling} is better by {size}"
    )


def closed_share(found: Closed) -> str:
    """``62 % [41, 80]``."""
    share, low, high = (f"{round(100 * x) + 0:d}".replace("-", "−") for x in (found.share, found.low, found.high))
    return f"{share} % [{low}, {high}]"


def amount(value: float, metric: str, *, signed: bool = False) -> str:
    """``3.1 Dice points``, ``+0.42 mm HD95``; points are hundredths."""
    return f"{_number(value, metric, signed)} {_measure(metric)}"


def _measure(metric: str) -> str:
    name = NAMES.get(metric, metric.upper() if metric in UPPER else metric.replace("_", " "))
    if metric in SHARES or metric == "volume_error":
        return f"{name} points"
    unit = "mm " if metric in DISTANCES else "ml " if metric == "volume_error_ml" else ""
    return unit + name


def _number(value: float, metric: str, signed: bool = False) -> str:
    scaled, digits = (100 * value, 1) if metric in SHARES or metric == "volume_error" else (value, 2)
    rounded = round(scaled, digits) + 0.0  # never −0.0
    return f"{rounded:{'+' if signed and rounded else ''}.{digits}f}".replace("-", "−")


def _span(ends: Sequence[float], metric: str) -> str:
    return "" if math.isnan(ends[0]) else f"[{', '.join(_number(end, metric) for end in ends)}]"


def _chance(found: Difference) -> str:
    return p_value(found.p or 0.0) + (" (Holm)" if found.corrected else "")


def _on(structure: str | None) -> str:
    return f" on {structure}" if structure is not None else ""


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _amount_of_labels(x: float, by: Axis) -> str:
    return f"{max(1, round(x))}" if by == "labels" else f"{100 * x:.0f} %"


def _bounded(x: float, found: BreakEven) -> str:
    told = _amount_of_labels(x, found.by)
    if x >= found.most * (1 - ROUNDING):
        return f"at least {told}" if found.by == "slices" and found.most == 1 else f"more than {told}"
    return f"fewer than {told}" if x <= found.fewest * (1 + ROUNDING) else told


def _noun(amount: str, by: Axis) -> str:
    if by == "slices":
        return "of slices"
    return "label" if amount.split()[-1] == "1" else "labels"
