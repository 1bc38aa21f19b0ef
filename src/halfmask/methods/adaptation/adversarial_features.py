"""Adversarial features: what the network makes of an image, at several scales, is not to tell the scanner."""

from __future__ import annotations

from halfmask.config import Positive, Share, Weight
from halfmask.learning.adapter import CRITIC_RATE, Adapter, Norms
from halfmask.learning.adversary import Adversary
from halfmask.losses.adversarial import Game, calling
from halfmask.losses.segmentation import dice_ce
from halfmask.networks.critic import ScaleCritic
from halfmask.networks.factory import Builder


class AdversarialFeatures(Adapter):
    """Kamnitsas et al., IPMI 2017, arXiv:1612.08894: a multi-connected domain critic.

    A critic tells the domains apart by the decoder's maps of all levels at once, place by place; the student is to
    have each domain taken for the other, with a weight that rises from nothing. Where we differ: with the targets
    exchanged, rather than the sign of the critic's loss, there is a gradient where the critic is right; the critic
    has spectral norm unless told otherwise, which makes its pull weak, so α (0.05 there) and its rate are larger; our
    scales are the decoder's levels. ``told_apart`` is the share that the
    critic has right: near ½ the features do not tell the scanner.

    Args:
        weight: α, of the adversarial loss at the end of its ramp.
        ramp: share of the training over which α rises, linearly.
        game: of critic and student.
        spectral: a critic with spectral norm.
        critic_rate: the critic's learning rate at the start; its optimizer is Adam.
        norms: statistics of batch norms that both domains share, or of each domain.
    """

    adversarial = True

    def __init__(
        self,
        network: Builder,
        *,
        weight: Weight = 0.5,
        ramp: Share = 0.5,
        game: Game = "cross_entropy",
        spectral: bool = True,
        critic_rate: Positive = CRITIC_RATE,
        norms: Norms = "shared",
    ):
        super().__init__(network, norms)
        self.critic = ScaleCritic(self.student.map_widths, self.student.dims, spectral=spectral)
        self.adversary = Adversary(self.critic, game)
        self.weight, self.ramp, self.rates = weight, ramp, {"critic": critic_rate}

    def step(self, batch, minimize, clock):
        weight = self.weight * (min(clock.progress / self.ramp, 1.0) if self.ramp else 1.0)
        source, target = self.maps(batch)
        compared = [self.comparable(m) for m in source]
        self.adversary.teach(minimize, compared, target)
        exchanged = calling(self.adversary.judge(*compared), False, self.adversary.game).mean()
        minimize(
            self.student,
            supervised=dice_ce(self.student.head(source[0]), batch.labeled.label),
            adversarial=weight * (self.adversary.doubt(*target) + exchanged) / 2,
        )
