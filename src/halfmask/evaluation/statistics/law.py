"""How a metric grows with labels: a power law, or a straight line where there are too few points for one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

EXPONENTS = (0.02, 4.0)
"""The bounds of c: about a straight line in log n, and all of the gain between the first two budgets."""
GRID = 41
ZOOMS = 6
"""Each narrows the bounds of c twentyfold."""


@dataclass(frozen=True, eq=False)
class Law:
    """Fits of several sets of points, S of them: y = a − b·n^(−c), or a + b·log n.

    Attributes:
        kind: "power law" or "line".
        a, b, c: (S,) each; b ≥ 0, so that y never falls. c is 0 in a line.
        top: what y cannot exceed.
    """

    kind: str
    a: Array
    b: Array
    c: Array
    top: float

    def __call__(self, n: ArrayLike) -> Array:
        """y at n (N,), above 0: (S, N)."""
        basis = _basis(np.asarray(n, float), self.c[:, None])
        return np.minimum(self.a[:, None] - self.b[:, None] * basis, self.top)

    def misfit(self, n: ArrayLike, y: ArrayLike) -> float:
        """How far the first fit is from the farthest of its points y (N,) at n (N,), as a share of their range."""
        y = np.asarray(y, float)
        reach = float(y.max() - y.min())
        return float(np.abs(self(n)[0] - y).max() / reach) if reach else 0.0

    def inverse(self, y: ArrayLike, low: float, high: float) -> Array:
        """The n of y (S,), within [low, high]: high where y is never reached, low where it always is."""
        gap = self.a - np.asarray(y, float)
        with np.errstate(divide="ignore", invalid="ignore"):
            power = np.where(gap > 0, -np.log(gap / self.b) / self.c, np.inf)
            log = -gap / self.b if self.kind == "line" else power
        log = np.where((self.b == 0) & (gap <= 0), np.inf, log)
        return np.exp(np.clip(log, np.log(low), np.log(high)))


def fit(n: ArrayLike, y: ArrayLike, *, top: float = np.inf) -> Law | None:
    """Fit each row of y (S, N), at most ``top``, at n (N,), above 0, by least squares with every point of equal weight.

    With three or more different n a power law with an asymptote of at most ``top`` (learning curves: Figueroa et al.
    2012, doi:10.1186/1472-6947-12-8; Hestness et al. 2017, arXiv:1712.00409), with two a straight line in log n, with
    one None. Given c the law is linear in a and b; c is searched on a grid that narrows around its best, for all rows
    at once and without local minima to fall into at the start.
    """
    n, y = np.asarray(n, float), np.asarray(y, float)
    different = len(np.unique(n))
    if different < 2:
        return None
    if different == 2:
        a, b, _ = _linear(-np.log(n), y, np.inf)
        return Law("line", a, b, np.zeros(len(y)), top)
    middle = np.exp(np.log(n).mean())  # so that n^−c is about 1 for every c
    low, high = (np.full(len(y), np.log(bound)) for bound in EXPONENTS)
    for _ in range(ZOOMS):
        grid = np.linspace(low, high, GRID, axis=-1)
        a, b, squares = _linear(_basis(n / middle, np.exp(grid)[..., None]), y[:, None], top)
        best = squares.argmin(-1)
        pick = lambda values, at: np.take_along_axis(values, at[:, None], -1)[:, 0]
        result = [pick(values, best) for values in (a, b, np.exp(grid))]
        low, high = pick(grid, np.maximum(best - 1, 0)), pick(grid, np.minimum(best + 1, GRID - 1))
    a, b, c = result
    return Law("power law", a, b * middle**c, c, top)


def _basis(n: Array, c: Array) -> Array:
    """n^(−c), and −log n where c is 0."""
    return np.where(c > 0, n**-c, -np.log(n))


def _linear(t: Array, y: Array, top: float) -> tuple[Array, Array, Array]:
    """Least squares of y = a − b·t over the last axis with a ≤ top and b ≥ 0: a, b and the sum of squares.

    At most one bound is crossed at a time, as t is positive where there is a top and y below it; the best is then on
    that bound.
    """
    mean_t, mean_y = t.mean(-1), y.mean(-1)
    t_, y_ = t - mean_t[..., None], y - mean_y[..., None]
    b = -(t_ * y_).sum(-1) / (t_**2).sum(-1)
    a = mean_y + b * mean_t
    over = a > top
    on_top = (t * (top - y)).sum(-1) / (t**2).sum(-1) if np.isfinite(top) else b
    a, b = np.where(over, top, a), np.where(over, on_top, b)
    a, b = np.where(b < 0, mean_y, a), np.maximum(b, 0)
    return a, b, ((y - a[..., None] + b[..., None] * t) ** 2).sum(-1)
