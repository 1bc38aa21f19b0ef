"""Box plots: a box a run and a dot a case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from halfmask.report.markup import Markup, tag
from halfmask.report.scale import WIDTH, Scale, scale_for, tick_label

ROW, LEFT, RIGHT, TOP = 46.0, 10.0, 12.0, 4.0
DENSE = 150
"""Cases of a run from which dots are fainter and the box darker, as it would vanish among them."""
MANY = 4000
"""Dots of a plot from which only those beyond the whiskers tell their case: the page stays light."""


@dataclass(frozen=True)
class Box:
    """Quartiles, and whiskers to the last case within 1.5 times their distance (Tukey)."""

    low: float
    first: float
    median: float
    third: float
    high: float


def box_of(values: np.ndarray) -> Box:
    """The box of numbers, at least one, all finite; quartiles as NumPy's, by linear interpolation."""
    first, median, third = np.quantile(values, (0.25, 0.5, 0.75))
    reach = 1.5 * (third - first)
    low = values[values >= first - reach].min()
    high = values[values <= third + reach].max()
    return Box(*map(float, (low, first, median, third, high)))


def box_plot(
    title: str,
    series: Mapping[str, pd.Series],
    *,
    styles: Sequence[str],
    bounds: tuple[float | None, float | None] = (None, None),
    unit: str = "",
    reach: tuple[float, float] | None = None,
) -> Markup:
    """A plot of one metric of one structure.

    Args:
        title: what is shown.
        series: the figures of each run, by case; NaN is left out and counted.
        styles: classes of the style sheet, one a run.
        bounds: what the figures can reach at most: the scale goes no further.
        reach: the lowest and the highest figure of all plots that share a scale; of this one unless given.
    """
    finite = {name: values.dropna() for name, values in series.items()}
    shown = np.concatenate([values.to_numpy(float) for values in finite.values()])
    height = TOP + ROW * len(series) + 22
    if not len(shown):
        return tag("p", f"{title}: undefined for every case.", class_="note")
    scale = scale_for(*(reach or (float(shown.min()), float(shown.max()))), LEFT, WIDTH - RIGHT)
    low, high = (s if b is None else max(min(s, b), b) if n == 0 else min(s, b)
                 for n, (s, b) in enumerate(zip((scale.low, scale.high), bounds, strict=True)))  # fmt: skip
    scale = Scale(low, high, LEFT, WIDTH - RIGHT)
    rows = [
        _row(name, values, len(series[name]) - len(values), scale, TOP + ROW * n, style, unit, len(shown) > MANY)
        for n, ((name, values), style) in enumerate(zip(finite.items(), styles, strict=True))
    ]
    told = "; ".join(f"{name}: median {v.median():.3g}" for name, v in finite.items() if len(v))
    return tag(
        "svg", tag("title", title), tag("desc", f"Box plots. {told}."), _ground(scale, height), rows,
        viewBox=f"0 0 {WIDTH:g} {height:g}", role="img", class_="plot",
    )  # fmt: skip


def _row(
    name: str, values: pd.Series, undefined: int, scale: Scale, top: float, style: str, unit: str, many: bool
) -> Markup:
    note = f" ({undefined} undefined)" if undefined else ""
    label = tag("text", name + note, x=LEFT, y=top + 12, class_="label")
    if values.empty:
        return tag("g", label)
    box, middle = box_of(values.to_numpy(float)), top + 28
    summary = f"{name}: median {box.median:.3g}{unit}, quartiles {box.first:.3g} and {box.third:.3g}"
    at = {key: scale(value) for key, value in vars(box).items()}
    whiskers = (f"M{at['low']:.1f} {middle}H{at['first']:.1f}M{at['third']:.1f} {middle}H{at['high']:.1f}"
                f"M{at['low']:.1f} {middle - 5}v10M{at['high']:.1f} {middle - 5}v10")  # fmt: skip
    return tag(
        "g",
        label,
        _dots(values, box, scale, middle, unit, many),
        tag("rect", tag("title", summary), x=at["first"], y=middle - 9, width=max(0.5, at["third"] - at["first"]),
            height=18, class_="box"),
        tag("path", d=whiskers, class_="whisker"),
        tag("path", d=f"M{at['median']:.1f} {middle - 10}v20", class_="median"),
        class_=f"{style} dense" if len(values) > DENSE else style,
    )  # fmt: skip


def _dots(values: pd.Series, box: Box, scale: Scale, middle: float, unit: str, many: bool) -> list[Markup]:
    """A dot a case, spread at random but the same every time, so that equal figures show."""
    jitter = np.random.default_rng(0).uniform(-8, 8, len(values))
    dots, plain = [], []
    for (case, value), off in zip(values.items(), jitter, strict=True):
        x, y = scale(value), middle + off
        if many and box.low <= value <= box.high:
            plain.append(f"M{x:.1f} {y:.1f}h0")
        else:
            dots.append(tag("circle", tag("title", f"{case}: {value:.3g}{unit}"), cx=f"{x:.1f}", cy=f"{y:.1f}", r="2"))
    return ([tag("path", d="".join(plain), class_="dots")] if plain else []) + dots


def _ground(scale: Scale, height: float) -> Markup:
    """The axis with its numbers below."""
    bottom = height - 18
    marks = [
        (tag("path", d=f"M{scale(t):.1f} {TOP + 14:g}V{bottom:g}", class_="grid"),
         tag("text", tick_label(t), x=f"{scale(t):.1f}", y=height - 5, class_=f"tick {_anchor(scale(t))}"))
        for t in scale.ticks()
    ]  # fmt: skip
    return tag("g", marks, aria_hidden="true")


def _anchor(x: float) -> str:
    """Numbers at the very ends stay within the plot."""
    return "start" if x < 2 * LEFT else "end" if x > WIDTH - 2 * RIGHT else "middle"
