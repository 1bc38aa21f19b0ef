"""Cycle-consistent translation: the network learns from source images as the target's scanner would show them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import smooth_l1_loss

from halfmask.config import Count, Positive, Share, Weight
from halfmask.learning.adapter import Adapter, Norms
from halfmask.learning.adversary import Adversary
from halfmask.losses.adversarial import Game
from halfmask.losses.segmentation import dice_ce
from halfmask.losses.soft import soft_dice_ce
from halfmask.networks.critic import Critic
from halfmask.networks.domain_norm import Side
from halfmask.networks.factory import Builder
from halfmask.networks.translator import Translator


class CycleGAN(Adapter):
    """CyCADA's image part (Hoffman et al., ICML 2018, arXiv:1711.03213) on Zhu et al., ICCV 2017, arXiv:1703.10593.

    One translator brings source images to the target, another target images to the source. A critic of each domain's
    images tells real ones (true) from translated ones; there and back again an image is to be itself; and the student
    is to see the same in an image and in its translation, so that anatomy stays where it is. The student learns from
    the source's labels on its images, and from ``start`` on also on their translations. Where we differ: all learn in
    one training, where CyCADA fixes a segmenter of the source first, so what the student says of translations counts
    once it has begun to learn from them; translators make changes, zero at first, and the cycle's loss is smooth near
    zero, as the plain absolute difference would hold them there; there is no pool of older translations. Defaults were
    chosen by validation for short trainings (see docs/results.md); the papers' are ``cycle=10 semantic=1
    game=least_squares translator_rate=0.0002 critic_rate=0.0002``.

    ``told_apart`` is the share that the critic of target images has right, ``told_apart_source`` that of the other.

    Args:
        cycle: λ, of the mean absolute difference from an image after both translations.
        semantic: of the difference between what the student says of an image and of its translation, from ``start`` on.
        start: share of the training after which the student learns from translations.
        channels: numbers of the channels that the domains differ in, such as one of another sequence; all if None. The
            others pass as they are, and help.
        width: features of the translators.
        blocks: residual blocks of the translators.
        game: of critics and translators.
        spectral: critics with spectral norm.
        translator_rate: the translators' learning rate at the start; their optimizer is Adam.
        critic_rate: the critics' learning rate at the start; theirs too.
        norms: statistics of the student's batch norms that both domains share, or of each domain.
    """

    adversarial = True

    def __init__(
        self,
        network: Builder,
        *,
        cycle: Weight = 1.0,
        semantic: Weight = 0.02,
        start: Share = 0.5,
        channels: tuple[int, ...] | None = None,
        width: Count = 16,
        blocks: Count = 4,
        game: Game = "cross_entropy",
        spectral: bool = True,
        translator_rate: Positive = 4e-3,
        critic_rate: Positive = 2e-3,
        norms: Norms = "shared",
    ):
        super().__init__(network, norms)
        every, dims = self.student.channels, self.student.dims
        if unknown := [number for number in channels or () if not 0 <= number < every]:
            raise ValueError(f"images have channels 0 to {every - 1}, got channels = {', '.join(map(str, unknown))}")
        translator = lambda: Translator(every, dims, changed=channels, width=width, blocks=blocks)
        self.to_target, self.to_source = translator(), translator()
        self.critic = Critic(every, dims, levels=3, spectral=spectral)
        self.source_critic = Critic(every, dims, levels=3, spectral=spectral)
        self.adversary, self.source_adversary = Adversary(self.critic, game), Adversary(self.source_critic, game)
        self.cycle, self.semantic, self.start = cycle, semantic, start
        self.rates = {"to_target": translator_rate, "to_source": translator_rate}
        self.rates |= {"critic": critic_rate, "source_critic": critic_rate}

    def step(self, batch, minimize, clock):
        x, y, u = batch.labeled.image, batch.labeled.label, batch.unlabeled.image
        begun = clock.progress >= self.start

        translated, untranslated = self.to_target(x), self.to_source(u)
        cycle = smooth(self.to_source(translated), x) + smooth(self.to_target(untranslated), u)
        passing = self.adversary.doubt(self.comparable(translated)) + self.source_adversary.doubt(untranslated)
        losses = {"cycle": self.cycle * cycle, "adversarial": passing}
        if begun:
            there = self.differing(x, "source", translated, "target")
            losses["semantic"] = self.semantic * (there + self.differing(u, "target", untranslated, "source"))
        minimize([self.to_target, self.to_source], **losses)
        self.adversary.teach(minimize, [u], [self.comparable(translated)])
        self.source_adversary.teach(minimize, [self.comparable(x)], [untranslated], name="critic_source")

        losses = {"supervised": dice_ce(self.segment(x, "source"), y)}
        if begun:
            losses["supervised_translated_labeled"] = dice_ce(self.segment(translated.detach(), "target"), y)
        minimize(self.student, **losses)

    def differing(self, image: Tensor, side: Side, translation: Tensor, other: Side) -> Tensor:
        """How far what the student says of translations is from what it says of the images, which is taken as given."""
        with torch.no_grad():
            told = self.probability(self.segment(image, side))
        return soft_dice_ce(self.segment(translation, other), told, exclusive=self.exclusive)


def smooth(image: Tensor, other: Tensor) -> Tensor:
    """The mean absolute difference, less ¼, but ½ d² / ½ where it is below half a standard deviation of the images."""
    return smooth_l1_loss(image, other, beta=0.5)
