"""Adversarial outputs: masks of target images are to look like masks of source images."""

from __future__ import annotations

from halfmask.config import Positive, Weight
from halfmask.learning.adapter import CRITIC_RATE, Adapter, Norms
from halfmask.learning.adversary import Adversary
from halfmask.losses.adversarial import Game
from halfmask.losses.segmentation import dice_ce
from halfmask.networks.critic import Critic
from halfmask.networks.factory import Builder


class AdversarialOutputs(Adapter):
    """AdaptSegNet: Tsai et al., CVPR 2018, arXiv:1802.10349, at a single level.

    A critic tells, place by place, the probabilities of source images (true) from those of target images; the student
    is to have its masks of the target called true. ``told_apart`` is the share that the critic has right: near ½ the
    two cannot be told apart. Where we differ: the critic has spectral norm unless told otherwise, which
    makes its pull weak; so λ and its rate, 0.001 and 1e-4 in the paper, are larger (chosen by validation).

    Args:
        weight: λ, of the adversarial loss.
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
        weight: Weight = 0.3,
        game: Game = "cross_entropy",
        spectral: bool = True,
        critic_rate: Positive = CRITIC_RATE,
        norms: Norms = "shared",
    ):
        super().__init__(network, norms)
        self.critic = Critic(self.student.classes, self.student.dims, spectral=spectral)
        self.adversary = Adversary(self.critic, game)
        self.weight, self.rates = weight, {"critic": critic_rate}

    def step(self, batch, minimize, clock):
        source, target = self.logits(batch)
        theirs = self.probability(target)
        self.adversary.teach(minimize, [self.probability(self.comparable(source))], [theirs])
        minimize(
            self.student,
            supervised=dice_ce(source, batch.labeled.label),
            adversarial=self.weight * self.adversary.doubt(theirs),
        )
