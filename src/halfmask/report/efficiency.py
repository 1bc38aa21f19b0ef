"""Label-efficiency curves: Dice against the number of labels, a line an arm, with intervals and the break-even."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from halfmask.evaluation.statistics.break_even import BreakEven, break_even
from halfmask.evaluation.statistics.learning import Axis, LearningCurve, Point, learning_curve
from halfmask.report.document import folded, scrolled
from halfmask.report.figures import title
from halfmask.report.markup import Markup, breakable, join, tag
from halfmask.report.scale import WIDTH, Scale, scale_for, tick_label
from halfmask.report.study import Study

LEFT, RIGHT, TOP, PLOT = 44.0, 14.0, 10.0, 210.0
DODGE = 2.5
"""Between the bars of arms at one budget, so that none hides another."""
SPREAD = 12.0
"""Of all of them at most, so that each stays at its budget."""
AXES: dict[Axis, str] = {"labels": "number of labels", "slices": "share of slices labeled"}


def efficiency_section(
    study: Study, styles: Mapping[str, str], proven: Mapping[tuple[str, str], bool]
) -> Markup | None:
    """A plot by labels, and one by slices, where there are at least two budgets of the kind; and their figures.

    Arms that read no labels have no place on the axis; they stand in the result table.

    Args:
        proven: by arm and budget, whether the difference from the baseline is more than chance explains.
    """
    parts = [part for by in AXES if (part := _curves(study, by, "dice", styles, proven)) is not None]
    if not parts:
        return None
    told = (
        f"Points are means over {study.unit}s{study.of_target}, bars their 95 % bootstrap intervals; the axis is "
        "logarithmic."
    )
    if study.baseline is not None:
        told += f" The thin line and its band are the curve fitted to {study.baseline}"
        told += (
            "; dotted, how many of its labels equal the best arm that is shown to beat it at the smallest budget."
            if any('class="even"' in part for part in parts)
            else "."
        )
    others = [part for by in AXES if (part := _curves(study, by, "iou", styles)) is not None]
    more = folded("IoU", tag("div", others, class_="efficiency")) if others else None
    return join([tag("p", told), tag("div", parts, class_="efficiency"), more])


def _curves(
    study: Study,
    by: Axis,
    metric: str,
    styles: Mapping[str, str],
    proven: Mapping[tuple[str, str], bool] | None = None,
) -> Markup | None:
    """The plot and the figures of one metric; ``proven`` marks a break-even."""
    if metric not in study.metrics:
        return None
    arms = [arm for arm in study.measured() if (study.table["labels"][study.table["arm"] == arm] > 0).all()]
    curves = [c for arm in arms if (c := learning_curve(study.table, arm=arm, metric=metric, by=by)) is not None]
    if not any(len(curve.points) > 1 for curve in curves):
        return None
    name = title(metric)
    even = None if proven is None else _break_even(study, curves, by, proven)
    plot = efficiency_plot(f"Mean {name} over the {AXES[by]}", curves, styles, by, study.baseline, even)
    key = tag("ul", [curve_key(curve.arm, styles[curve.arm]) for curve in curves], class_="key")
    figure = tag("figure", tag("figcaption", f"{name} over the {AXES[by]}"), plot, key)
    return join([figure, curve_table(f"Mean {name} and 95 % intervals", curves, by)])


def efficiency_plot(
    heading: str,
    curves: Sequence[LearningCurve],
    styles: Mapping[str, str],
    by: Axis,
    baseline: str | None = None,
    even: BreakEven | None = None,
) -> Markup:
    """The lines of all arms on one logarithmic axis; the baseline's fit, and one break-even on it."""
    points = [point for curve in curves for point in curve.points]
    fits = [curve for curve in curves if curve.arm == baseline and curve.law is not None]
    places = sorted({point.x for point in points})
    mark = even if even is not None and even.found else None
    ends = [*places, *([mark.equal] if mark is not None else [])]
    x = Scale(math.log(min(ends)) - 0.12, math.log(max(ends)) + 0.12, LEFT, WIDTH - RIGHT)
    shown = [value for point in points for value in (point.mean, point.low, point.high) if not math.isnan(value)]
    y = scale_for(min(shown), max(shown), TOP + PLOT, TOP)
    y = Scale(max(0.0, y.low), min(1.0, y.high), y.start, y.stop)
    drawn = [_fit(curve, x, y, styles[curve.arm], max(ends)) for curve in fits]
    apart = min(DODGE, SPREAD / len(curves))
    drawn += [_line(curve, x, y, styles[curve.arm], apart * (n - (len(curves) - 1) / 2))
              for n, curve in enumerate(curves)]  # fmt: skip
    if mark is not None:
        drawn.append(_mark(mark, curves, x, y, by))
    told = "; ".join(f"{c.arm}: " + ", ".join(f"{p.mean:.3f} at {p.x:g}" for p in c.points) for c in curves)
    return tag(
        "svg", tag("title", heading), tag("desc", f"{told}."), _ground(x, y, places, by), drawn,
        viewBox=f"0 0 {WIDTH:g} {TOP + PLOT + 40:g}", role="img", class_="plot wide",
    )  # fmt: skip


def _break_even(
    study: Study, curves: Sequence[LearningCurve], by: Axis, proven: Mapping[tuple[str, str], bool]
) -> BreakEven | None:
    """Of the best arm at the smallest budget that is shown to beat the baseline there."""
    baseline = next((c for c in curves if c.arm == study.baseline), None)
    if baseline is None or baseline.law is None:
        return None
    first = baseline.points[0]
    better = [
        (p.mean, c.arm) for c in curves for p in c.points
        if p.budget == first.budget and p.mean > first.mean and proven.get((c.arm, p.budget)) and c.arm != study.ceiling
    ]  # fmt: skip
    if not better:
        return None
    return break_even(study.table, arm=max(better)[1], baseline=baseline.arm, budget=first.budget, by=by)


def _line(curve: LearningCurve, x: Scale, y: Scale, style: str, shift: float) -> Markup:
    at = [(x(math.log(p.x)) + shift, p) for p in curve.points]
    path = tag("path", tag("title", curve.arm), d="M" + "L".join(f"{left:.1f} {y(p.mean):.1f}" for left, p in at),
               class_="line")  # fmt: skip
    bars = [
        tag("path", d=f"M{left:.1f} {y(p.low):.1f}V{y(p.high):.1f}", class_="bar")
        for left, p in at
        if not math.isnan(p.low)
    ]
    dots = [tag("circle", tag("title", _told(curve.arm, p)), cx=f"{left:.1f}", cy=f"{y(p.mean):.1f}", r="3.5")
            for left, p in at]  # fmt: skip
    return tag("g", bars, path, dots, class_=style)


def _fit(curve: LearningCurve, x: Scale, y: Scale, style: str, most: float) -> Markup:
    """The fitted curve and its band, from the first budget to the last place of the axis."""
    places = np.geomspace(curve.points[0].x, most, 60)
    values, lows, highs = (np.clip(each, y.low, y.high) for each in curve.at(places))
    line = lambda figures: [f"{x(math.log(p)):.1f} {y(float(v)):.1f}" for p, v in zip(places, figures, strict=True)]
    band = "M" + "L".join([*line(lows), *reversed(line(highs))]) + "Z"
    return tag("g", tag("path", d=band, class_="band"), tag("path", tag("title", f"fitted to {curve.arm}"),
               d="M" + "L".join(line(values)), class_="fit"), class_=style.split()[0])  # fmt: skip


def _mark(even: BreakEven, curves: Sequence[LearningCurve], x: Scale, y: Scale, by: Axis) -> Markup:
    """From the arm's point to the baseline's curve, and down to so many labels."""
    height = next(p.mean for c in curves if c.arm == even.arm for p in c.points if p.budget == even.budget)
    start, stop, level = x(math.log(even.x)), x(math.log(even.equal)), y(height)
    told = f"{even.arm} with {_place(even.x, by)} equals {even.baseline} with {_whole(even.equal, by)}"
    side = "end" if stop > WIDTH / 2 else "start"
    return tag(
        "g", tag("title", told), tag("path", d=f"M{start:.1f} {level:.1f}H{stop:.1f}V{TOP + PLOT}", class_="even"),
        tag("text", f"≈ {_whole(even.equal, by)}", x=f"{stop + (-5 if side == 'end' else 5):.1f}", y=TOP + PLOT - 6,
            class_=f"label {side}"),
    )  # fmt: skip


def curve_key(name: str, style: str) -> Markup:
    line = tag("svg", tag("path", d="M0 6h28", class_="line"), viewBox="0 0 28 12", aria_hidden="true")
    return tag("li", line, name, class_=style)


def _ground(x: Scale, y: Scale, places: Sequence[float], by: Axis) -> Markup:
    across = [
        (tag("path", d=f"M{LEFT} {y(t):.1f}H{WIDTH - RIGHT}", class_="grid"),
         tag("text", tick_label(t), x=LEFT - 6, y=y(t) + 4, class_="tick end"))
        for t in y.ticks()
    ]  # fmt: skip
    down = [tag("text", _place(p, by), x=f"{x(math.log(p)):.1f}", y=TOP + PLOT + 16, class_="tick middle")
            for p in places]  # fmt: skip
    name = tag("text", AXES[by], x=WIDTH - RIGHT, y=TOP + PLOT + 32, class_="tick end")
    return tag("g", across, down, name, aria_hidden="true")


def curve_table(caption: str, curves: Sequence[LearningCurve], by: Axis) -> Markup:
    """The same in numbers, for those who do not see the plot."""
    places = sorted({point.x for curve in curves for point in curve.points})
    head = tag("tr", tag("th", "Method", scope="col"),
               [tag("th", f"{_place(p, by)} {_noun(p, by)}", scope="col") for p in places])  # fmt: skip
    rows = [
        tag("tr", tag("th", breakable(curve.arm), scope="row"),
            [tag("td", _interval(next((q for q in curve.points if q.x == p), None))) for p in places])
        for curve in curves
    ]  # fmt: skip
    table = tag("table", tag("thead", head), tag("tbody", rows))
    left_out = max(curve.left_out for curve in curves)
    note = f"Curves are over the units that every budget has; {left_out} have not." if left_out else None
    return tag("div", scrolled(caption, table), tag("p", note, class_="note") if note else None)


def _place(value: float, by: Axis) -> str:
    return f"{100 * value:.3g} %" if by == "slices" else f"{value:.3g}"


def _noun(value: float, by: Axis) -> str:
    return "of slices" if by == "slices" else "label" if value == 1 else "labels"


def _whole(value: float, by: Axis) -> str:
    """As the sentences round it."""
    return f"{100 * value:.0f} %" if by == "slices" else str(max(1, round(value)))


def _interval(point: Point | None) -> str:
    if point is None:
        return "–"
    return f"{point.mean:.3f}" + ("" if math.isnan(point.low) else f" [{point.low:.3f}, {point.high:.3f}]")


def _told(arm: str, point: Point) -> str:
    return f"{arm}, {point.budget}: {_interval(point)}"
