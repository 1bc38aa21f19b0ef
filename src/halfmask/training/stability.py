"""Whether an adversarial training is in balance: what to say when it is not, and when to stop it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

WINDOW, LONG = 20, 100
"""Noted steps over which figures are averaged; ``told_apart``, a share of a few images, over the longer."""
FIRST = 5
"""Noted steps whose mean the supervised loss starts from."""
EARLY, LATE = 0.1, 0.5
"""Shares of the training before which nothing is said and it is not stopped, and nothing is said of the critic."""
PATIENCE = 20
"""Noted steps that it may be apart before it is stopped, besides those over which figures are averaged."""
WON, CHANCE = 0.98, 0.57
"""Of ``told_apart``, from where the critic has won, and up to where it may have guessed: 0.5 and four sd of a mean over
`LONG` of four images each."""
UNBOUNDED = 1000.0
"""What the critic's losses never come to in play: a logistic one would be wrong by as many nats, and the scores of a
Wasserstein critic that is held to slopes of 1 differ by no more than its inputs do, by tens to hundreds."""


@dataclass
class Stability:
    """Follows the figures of an adversarial training (`Method.adversarial`); all processes are told the same.

    It has come apart, and is to stop, when for `PATIENCE` noted steps the average supervised loss is a fifth above
    what it was at the start, or above half of that and three times its lowest, while the adversarial gradient is the
    larger (or is not known, and the critic has won); or when the critic's losses are beyond `UNBOUNDED`. With few
    labels the loss of a sound run is noisy, but its average is steady to some 5 % and falls; where it stands still, as
    before small structures are found, it stays near the start.

    Tried on phantoms, 600 steps: with DAN's default the ratio of gradients is 0.05, the loss falls to 0.4 of the start
    and Dice comes to 0.33, with adversarial self-training's 0.4, 0.5 and 0.39. DAN with λ = 1 throughout has 1.5, 0.85
    and 0.01 (a warning), with λ = 30 throughout 20, 1.8 and 0.01, with λ = 1000 at the end of the ramp 300, 2.7 and
    0.01 (both are stopped).

    A critic at chance is what adaptation is after, so that is noted only if it never was above.

    Attributes:
        steps: of the whole training.
        averages: by figure, of how many noted steps, at most the window, and the mean, which is exponential from there.
        start, lowest: averages of the supervised loss; highest: of told_apart.
        apart: noted steps in a row that training was apart.
        told: states that it has warned of and that last.
    """

    steps: int
    averages: dict[str, tuple[int, float]] = field(default_factory=dict)
    start: float = math.nan
    lowest: float = math.inf
    highest: float = 0.0
    apart: int = 0
    told: list[str] = field(default_factory=list)

    def follow(self, step: int, figures: Mapping[str, float]) -> list[str]:
        """What is to be said, of figures that were noted after so many steps; see `come_apart` next."""
        for name, value in _watched(figures):
            window = LONG if name == "told_apart" else WINDOW
            n, mean = self.averages.get(name, (0, 0.0))
            n = min(n + 1, window)
            self.averages[name] = n, mean + (value - mean) / n
        n, mean = self.averages.get("supervised", (0, math.nan))
        self.start = mean if n <= FIRST else self.start
        self.lowest = min(self.lowest, mean) if n == WINDOW else self.lowest
        n, mean = self.averages.get("told_apart", (0, math.nan))
        self.highest = max(self.highest, mean) if n == LONG else self.highest
        self.apart = self.apart + 1 if step >= EARLY * self.steps and self._is_apart() else 0
        return list(self._states(step))

    @property
    def come_apart(self) -> str:
        """Why training is to stop, if it is."""
        if self.apart < PATIENCE:
            return ""
        loss, won, ratio, critic = self._means()
        figures = {
            f"the supervised loss is {loss:.3g} on average, after {self.start:.3g} at the start and "
            f"{self.lowest:.3g} at its lowest": loss,
            f"the adversarial gradient is {ratio:.3g} times that of the other losses": ratio,
            f"the critic's losses add up to {critic:.3g}": critic,
            f"told_apart is {won:.2f}": won,
        }
        return "; ".join(told for told, figure in figures.items() if math.isfinite(figure))

    def _is_apart(self) -> bool:
        loss, won, ratio, critic = self._means()
        lost = loss > 1.2 * self.start or loss > max(3 * self.lowest, self.start / 2)
        return (lost and (ratio > 1 or (math.isnan(ratio) and won > WON))) or abs(critic) > UNBOUNDED

    def _states(self, step: int) -> Iterator[str]:
        loss, won, ratio, _ = self._means()
        late = step >= LATE * self.steps
        if self._new("won", late and won > WON, won < WON - 0.03):
            yield (
                f"warning: the critic has won (told_apart is {won:.2f} on average), so the adversarial loss teaches "
                "little. Try a lower critic_rate or a smaller weight of the adversarial loss, or, where the method has "
                "them, spectral norm or another adversary"
            )
        if self._new("chance", late and 0 < self.highest < CHANCE, False):
            yield (
                f"note: the critic never told much more apart than by chance (told_apart is {won:.2f} on average). "
                "Either there is nothing to adapt, or it has learned nothing; if the images do differ, try a higher "
                "critic_rate"
            )
        much = 1 if loss > self.start / 2 else 10
        learned = loss < 0.4 * self.start and ratio < 5
        if self._new("outweighed", step >= EARLY * self.steps and ratio > much, learned or ratio < 0.5):
            yield (
                f"warning: the adversarial gradient is {ratio:.3g} times that of the other losses, and the supervised "
                f"loss at {loss / self.start:.0%} of where it started, so those may count for too little. Try a "
                "smaller weight of the adversarial loss, or a lower critic_rate"
            )

    def _new(self, state: str, on: bool, off: bool) -> bool:
        """Whether a state has begun that was not told of since it was last off."""
        if off and state in self.told:
            self.told.remove(state)
        new = on and state not in self.told
        self.told += [state] * new
        return new

    def _means(self) -> tuple[float, float, float, float]:
        """Supervised loss, told_apart, ratio of gradients and losses of the critic; NaN while they are too few."""
        means = (self.averages.get(name, (0, 0.0)) for name in ("supervised", "told_apart", "ratio", "critic"))
        loss, won, ratio, critic = (mean if n >= WINDOW else math.nan for n, mean in means)
        return loss, won, math.exp(ratio), critic


def _watched(figures: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """What is averaged, where it is known; the ratio as its logarithm, lest one batch with few labels be all of it."""
    for name in ("supervised", "told_apart"):
        if math.isfinite(figures.get(name, math.nan)):
            yield name, figures[name]
    if math.isfinite(ratio := figures.get("gradient ratio", math.nan)):
        yield "ratio", math.log(min(max(ratio, 1e-3), 1e3))
    critic = [value for name, value in figures.items() if name.startswith("critic")]
    if critic and math.isfinite(total := sum(critic)):
        yield "critic", total
