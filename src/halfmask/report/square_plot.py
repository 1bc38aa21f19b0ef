"""Plots of one share against another: a square of [0, 1]², a line a setup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from halfmask.report.markup import Markup, tag
from halfmask.report.scale import WIDTH, Scale, tick_label

LEFT, RIGHT, TOP = 44.0, 14.0, 10.0
SIDE = WIDTH - LEFT - RIGHT
TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True, eq=False)
class Line:
    """What is drawn of a setup.

    Attributes:
        title: the setup; told: what the key says of it.
        style: classes of the style sheet.
        x, y: places, in [0, 1]; NaN is left out.
        dots: what each place tells, if it is marked.
    """

    title: str
    told: str
    style: str
    x: np.ndarray
    y: np.ndarray
    dots: Sequence[str] = ()


def square_plot(name: str, lines: Sequence[Line], across: str, up: str, *, diagonal: bool) -> Markup:
    """A figure with its key below.

    Args:
        diagonal: draw what chance, or perfect calibration, would give.
    """
    x, y = Scale(0, 1, LEFT, LEFT + SIDE), Scale(0, 1, TOP + SIDE, TOP)
    even = tag("path", d=f"M{x(0):g} {y(0):g}L{x(1):g} {y(1):g}", class_="equal") if diagonal else None
    described = "; ".join(f"{line.title}: {line.told}" for line in lines)
    plot = tag(
        "svg", tag("title", name), tag("desc", f"{up} over {across}. {described}."), _ground(x, y, across, up), even,
        [_line(line, x, y) for line in lines], viewBox=f"0 0 {WIDTH:g} {TOP + SIDE + 36:g}", role="img", class_="plot",
    )  # fmt: skip
    key = tag("ul", [_key(line) for line in lines], class_="key")
    return tag("figure", tag("figcaption", name), plot, key)


def _line(line: Line, x: Scale, y: Scale) -> Markup:
    kept = np.isfinite(line.x) & np.isfinite(line.y)
    at = [(f"{x(a):.1f}", f"{y(b):.1f}") for a, b in zip(line.x[kept], line.y[kept], strict=True)]
    path = tag("path", tag("title", line.title), d="M" + "L".join(f"{a} {b}" for a, b in at), class_="line")
    told = [text for text, there in zip(line.dots, kept, strict=True) if there] if line.dots else []
    dots = [tag("circle", tag("title", text), cx=a, cy=b, r="3") for text, (a, b) in zip(told, at, strict=False)]
    return tag("g", path if at else None, dots, class_=line.style)


def _key(line: Line) -> Markup:
    mark = tag("svg", tag("path", d="M0 6h28", class_="line"), viewBox="0 0 28 12", aria_hidden="true")
    return tag("li", mark, tag("span", line.title, tag("span", f" {line.told}", class_="quiet")), class_=line.style)


def _ground(x: Scale, y: Scale, across: str, up: str) -> Markup:
    marks = [
        (tag("path", d=f"M{x(0):g} {y(t):.1f}H{x(1):g}M{x(t):.1f} {y(0):g}V{y(1):g}", class_="grid"),
         tag("text", tick_label(t), x=LEFT - 6, y=y(t) + 4, class_="tick end"),
         tag("text", tick_label(t), x=x(t), y=y(0) + 15, class_="tick middle"))
        for t in TICKS
    ]  # fmt: skip
    names = [
        tag("text", across, x=x(1), y=y(0) + 31, class_="tick end"),
        tag("text", up, x=11, y=y(1), class_="tick end", transform=f"rotate(-90 11 {y(1):g})"),
    ]
    return tag("g", marks, names, aria_hidden="true")
