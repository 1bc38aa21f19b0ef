"""Learning curves: a plot a figure, a line a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from halfmask.report.gather import Entry
from halfmask.report.markup import Markup, tag
from halfmask.report.scale import WIDTH, Scale, scale_for, tick_label

LEFT, RIGHT, TOP, PLOT = 44.0, 12.0, 8.0, 150.0
POINTS = 200
"""Of a line at most; more are averaged, else a long run would be a solid band."""
ORDER = (
    "dice mean", "auc", "recall", "f1", "log_loss", "supervised", "told_apart", "gradient ratio",
    "gradient ratio without labels", "k-NN accuracy", "linear accuracy", "rank",
)  # fmt: skip
"""Figures to show first: what counts, then what every method has."""
BY_DOMAIN = "dice mean "
"""What figures begin with that are a domain's."""
ASIDE, OWN = ("step", "kind", "seconds"), ("dice ", "pseudo ", "gradient ")
PSEUDO = {
    "share": "of all voxels, those that the teacher gives to a class",
    "confidence": "how sure the teacher is of the voxels that it gives to a class, on average",
    "agreement": "overlap (Dice) of what teacher and student give to a class",
    "dice": "overlap of the pseudo-labels with the true labels, where the store has such that were hidden",
}
"""What a training notes of its pseudo-labels; see `training.monitor`."""
MEANS = {
    "dice mean": "mean Dice on the validation cases",
    "auc": "mean AUC on the validation cases",
    "recall": "mean recall over the classes (balanced accuracy) on the validation cases",
    "f1": "mean F1 over the classes on the validation cases",
    "log_loss": "log loss on the validation cases",
    "supervised": "loss on labeled images",
    "kept": "share of unlabeled voxels whose pseudo-label was sure enough to be kept",
    "agreement": "share of voxels on which both networks agree",
    "consistency": "weighted disagreement of student and teacher (loss)",
    "pseudo": "weighted loss on pseudo-labels",
    "cross": "weighted loss on each other's labels",
    "within": "loss of each view on its own clusters (PiCIE)",
    "told_apart": "share that the critic has right, by chance 0.5: what is adapted comes down to it, and a critic that "
    "stays at 1 teaches little",
    "gradient ratio without labels": "the same where no labels are beside it, as for translators of images",
    "gradient ratio": "size of the adversarial gradient over that of the losses beside it; above 1 it may spoil what "
    "labels teach",
    "loss": "loss on images that were held out",
    "rank": "directions that the features of images use (effective rank); near 1 they have collapsed",
    "k-NN accuracy": "balanced accuracy of nearest neighbors that tell the class of a place from its frozen features",
    "linear accuracy": "balanced accuracy of a linear classifier that tells it",
}
"""What the figures that methods log mean; others stand by their name."""

Line = tuple[np.ndarray, np.ndarray]


def figures(entries: Sequence[Entry]) -> list[str]:
    """The names of the figures to show, in order; Dice by structure is in the tables, pseudo-labels have their own.

    Of the gradients the ratio is enough.
    """
    shown = lambda n: n in ORDER or n.startswith(BY_DOMAIN) or not (n in ASIDE or n.startswith(OWN))
    found: dict[str, None] = {}
    for entry in entries:
        for line in entry.journal:
            found |= dict.fromkeys(filter(shown, line))
    place = lambda n: ORDER.index(n) if n in ORDER else 0 if n.startswith(BY_DOMAIN) else len(ORDER)
    return sorted(found, key=place)


def meaning(figure: str) -> str | None:
    """What a figure means, where its name does not say so."""
    if figure.startswith(BY_DOMAIN):
        return f"mean Dice on the validation cases of the domain {figure.removeprefix(BY_DOMAIN)}"
    return MEANS.get(figure)


def pseudo_figures(entries: Sequence[Entry]) -> dict[str, list[str]]:
    """The names of the figures on pseudo-labels, class by class, by what they tell; see `PSEUDO`."""
    names = dict.fromkeys(name for entry in entries for line in entry.journal for name in line)
    found = {what: [n for n in names if n.startswith(f"pseudo {what} ")] for what in PSEUDO}
    return {what: names for what, names in found.items() if names}


def line_of(journal: Iterable[Mapping[str, object]], figure: str) -> Line:
    """Steps (from 1) and values of a figure; those that were not finite are left out."""
    points = [(line["step"], line[figure]) for line in journal if isinstance(line.get(figure), int | float)]
    steps, values = np.array(points, float).reshape(-1, 2).T
    return thinned(steps + 1, values)


def thinned(steps: np.ndarray, values: np.ndarray) -> Line:
    """At most `POINTS` points, each the mean of its neighbors."""
    if len(steps) <= POINTS:
        return steps, values
    parts = [np.array_split(a, POINTS) for a in (steps, values)]
    return np.array([p.mean() for p in parts[0]]), np.array([p.mean() for p in parts[1]])


def curve_plot(figure: str, entries: Sequence[Entry], styles: Mapping[str, str]) -> Markup | None:
    """One figure over the steps, for the runs that noted it, with their names below."""
    lines = {n: line_of(entry.journal, figure) for n, entry in enumerate(entries)}
    lines = {n: line for n, line in lines.items() if len(line[0])}
    if not lines:
        return None
    steps, values = (np.concatenate([line[part] for line in lines.values()]) for part in (0, 1))
    x = Scale(0, float(steps.max()), LEFT, WIDTH - RIGHT)
    y = scale_for(min(0.0, float(values.min())) if not _is_score(figure) else float(values.min()),
                  float(values.max()), TOP + PLOT, TOP)  # fmt: skip
    if _is_score(figure):
        y = Scale(max(0.0, y.low), min(1.0, y.high), y.start, y.stop) if y.low < 1 else y
    drawn = [
        _line(entries[n].name, line, x, y, styles[entries[n].name], dots=len(line[0]) <= 25)
        for n, line in lines.items()
    ]
    key = [_key(entries[n].name, styles[entries[n].name], TOP + PLOT + 46 + 17 * row) for row, n in enumerate(lines)]
    height = TOP + PLOT + 40 + 17 * len(lines)
    told = "; ".join(f"{entries[n].name}: last {line[1][-1]:.3g}" for n, line in lines.items())
    title = meaning(figure) or figure
    return tag(
        "svg", tag("title", title), tag("desc", f"Over the steps. {told}."), _ground(x, y), drawn, key,
        viewBox=f"0 0 {WIDTH:g} {height:g}", role="img", class_="plot",
    )  # fmt: skip


def curve_plots(entries: Sequence[Entry], styles: Mapping[str, str]) -> Markup | None:
    """A plot a figure that any run noted."""
    plots = []
    for figure in figures(entries):
        if plot := curve_plot(figure, entries, styles):
            told = f"{figure}: {means}" if (means := meaning(figure)) else figure
            plots.append(tag("figure", tag("figcaption", told), plot))
    return tag("div", plots, class_="plots") if plots else None


def _is_score(figure: str) -> bool:
    return (
        figure in ("auc", "recall", "f1", "told_apart")
        or figure.endswith(" accuracy")
        or figure.startswith(("dice ", "pseudo dice ", "pseudo agreement ", "pseudo confidence "))
    )


def _line(name: str, line: Line, x: Scale, y: Scale, style: str, *, dots: bool) -> Markup:
    places = [f"{x(s):.1f} {y(v):.1f}" for s, v in zip(*line, strict=True)]
    marks = [
        tag("circle", tag("title", f"{name}, step {s:.0f}: {v:.3g}"), cx=f"{x(s):.1f}", cy=f"{y(v):.1f}", r="2.5")
        for s, v in zip(*line, strict=True)
        if dots
    ]
    return tag("g", tag("path", tag("title", name), d="M" + "L".join(places), class_="line"), marks,
               class_=style)  # fmt: skip


def _key(name: str, style: str, y: float) -> Markup:
    return tag("g", tag("path", d=f"M{LEFT} {y - 4}h28", class_="line"), tag("text", name, x=LEFT + 36, y=y,
               class_="label"), class_=style)  # fmt: skip


def _ground(x: Scale, y: Scale) -> Markup:
    """Both axes with their numbers."""
    across = [
        (tag("path", d=f"M{LEFT} {y(t):.1f}H{WIDTH - RIGHT}", class_="grid"),
         tag("text", tick_label(t), x=LEFT - 6, y=y(t) + 4, class_="tick end"))
        for t in y.ticks()
    ]  # fmt: skip
    down = [
        tag("text", tick_label(t), x=x(t), y=TOP + PLOT + 16, class_=f"tick {'end' if t == x.high else 'middle'}")
        for t in x.ticks()
    ]
    name = tag("text", "step", x=WIDTH - RIGHT, y=TOP + PLOT + 30, class_="tick end")
    return tag("g", across, down, name, aria_hidden="true")
