"""ADVENT: the network is to be as sure, and in the same places, of target images as it is of source images."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.special import entr

from halfmask.config import Positive, Weight
from halfmask.learning.adapter import CRITIC_RATE, Adapter, Norms
from halfmask.learning.adversary import Adversary
from halfmask.losses.adversarial import Game
from halfmask.losses.entropy import LEAST
from halfmask.losses.segmentation import dice_ce
from halfmask.networks.critic import Critic
from halfmask.networks.factory import Builder


class Advent(Adapter):
    """Vu et al., CVPR 2019, arXiv:1811.12833: AdvEnt, or MinEnt with ``by=entropy``.

    A critic tells the maps of self-information, −p log p of each class, of source images (true) from those of target
    images; the student is to have its maps of the target called true. Directly, the entropy of the target's masks
    becomes a loss. ``told_apart`` is the share that the critic has right. Where we differ: the critic has spectral
    norm unless told otherwise, and with it a larger λ and rate (the paper's are 0.001 and 1e-4, and λ = 0.001 of the
    entropy too); of regions that may overlap, each one's −p log p − (1 − p) log (1 − p) is the map.

    Args:
        by: what brings the target's entropy down: a critic, or the entropy itself.
        weight: λ, of the adversarial loss or of the entropy; 0.3 or 0.001 unless given.
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
        by: Literal["critic", "entropy"] = "critic",
        weight: Weight | None = None,
        game: Game = "cross_entropy",
        spectral: bool = True,
        critic_rate: Positive = CRITIC_RATE,
        norms: Norms = "shared",
    ):
        super().__init__(network, norms)
        if by == "critic":
            self.critic = Critic(self.student.classes, self.student.dims, spectral=spectral)
            self.adversary = Adversary(self.critic, game)
            self.rates = {"critic": critic_rate}
        self.by = by
        self.weight = {"critic": 0.3, "entropy": 0.001}[by] if weight is None else weight

    def information(self, logits: Tensor) -> Tensor:
        """Self-information (B, K, *spatial), float32: of each class −p log p, of each region also what is not of it."""
        p = self.probability(logits)
        outside = 0 if self.exclusive else entr((1 - p).clamp(min=LEAST))
        return entr(p.clamp(min=LEAST)) + outside

    def step(self, batch, minimize, clock):
        source, target = self.logits(batch)
        supervised = dice_ce(source, batch.labeled.label)
        if self.by == "entropy":
            entropy = self.entropy(self.probability(target)).mean()
            minimize(self.student, supervised=supervised, entropy=self.weight * entropy)
            return
        theirs = self.information(target)
        self.adversary.teach(minimize, [self.information(self.comparable(source))], [theirs])
        minimize(self.student, supervised=supervised, adversarial=self.weight * self.adversary.doubt(theirs))
