"""A critic and who is to pass its judgment."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

from halfmask.learning.minimize import Minimize
from halfmask.losses.adversarial import Game, calling, gradient_penalty, share_right

PENALTY = 10.0
"""Of the slope of a Wasserstein critic, the weight that Gulrajani et al. found good for all they tried."""


class Judge(Protocol):
    """A network with scores (B, *places) of tensors (B, C, *spatial), one or several."""

    def places(self, *judged: Tensor) -> Tensor: ...


class Adversary:
    """The game of one critic: it learns to tell what is true from what is not, others to have theirs called true.

    Args:
        critic: a network of the method's with `Judge.places`.
        game: see `losses.adversarial`.
    """

    def __init__(self, critic: nn.Module, game: Game):
        self.critic, self.game = critic, game

    def judge(self, *judged: Tensor) -> Tensor:
        """The critic's scores (B, *places), float32."""
        return self.critic.places(*judged)  # type: ignore[operator]

    def teach(self, minimize: Minimize, true: list[Tensor], false: list[Tensor], name: str = "critic") -> None:
        """One step of the critic; notes the share that it had right as ``told_apart``, for a critic of this name.

        Args:
            true, false: each what one judgment takes, (B, C, *spatial); no gradient passes to who made it.
        """
        true, false = [t.detach() for t in true], [f.detach() for f in false]
        good, bad = self.judge(*true), self.judge(*false)
        loss = calling(good, True, self.game).mean() + calling(bad, False, self.game).mean()
        if self.game == "wasserstein":
            loss = loss + PENALTY * gradient_penalty(self.judge, true, false)
        minimize(self.critic, **{name: loss})
        minimize.log(**{name.replace("critic", "told_apart"): share_right(good.detach(), bad.detach(), self.game)})

    def doubt(self, *false: Tensor) -> Tensor:
        """The loss of who made what is false and would have it called true; its gradient passes through the critic."""
        return calling(self.judge(*false), True, self.game).mean()
