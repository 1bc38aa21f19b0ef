"""MuST: at every level the decoder says of perturbed inputs what it says of clean ones."""

from __future__ import annotations

import math

import torch

from halfmask.augment.features import perturbed
from halfmask.config import Positive, Weight
from halfmask.learning.method import Segmenter
from halfmask.losses.consistency import probability_mse
from halfmask.losses.pyramid import label_pyramid
from halfmask.losses.segmentation import cross_entropy, dice_ce
from halfmask.networks.branch import level_heads
from halfmask.networks.factory import Builder
from halfmask.networks.segmenter import Decoder, SegmentationNetwork


class MultiScaleConsistency(Segmenter):
    """The MuST paper, after Ouali et al., CVPR 2020, arXiv:2003.09005: "A MuST for Consistency Regularization in
    Semi-Supervised Medical Image Segmentation", printed without authors and number, extends cross-consistency training
    to all levels.

    Supervised and unsupervised steps take turns. The supervised loss is summed over levels, on pooled labels (Eq. 4).
    Two things of the paper are settings here, as in a short training they may leave all to the background: there the
    loss is cross-entropy alone, and the rates are halved ten and five times. The paper itself is
    ``dice=False supervised_halving=0.1 unsupervised_halving=0.2``, for BraTS; the "steps" after which it halves are
    read as epochs, of 50.

    The consistency (Eq. 3) is summed over levels: the clean path goes on from level to level and its sharpened
    prediction is the target; beside it each level gets π1(skip) and π2(map below), both perturbations drawn from four.
    The skip is the encoder's feature before pooling, as that of Eq. 1 has another size. Our bottleneck is the last
    feature of the encoder, so there π acts on what its classifier is given. Sharpening (Eq. 2) is a division of the
    logits by T, for regions one by one.

    Args:
        weight: w_u at the end of its linear ramp; 20 for BraTS, 30 for WMH in the paper.
        temperature: T; 0.5 for BraTS, 0.8 for WMH. At 1 probabilities stay as they are: "no sharpening" is this.
        levels: where consistency counts; 0 is the finest, -1 the bottleneck, None all.
        through: lets its gradient pass on to the coarser decoder levels; "each decoder layer is updated
            independently" says no.
        dice: supervise with Dice, too, as the other methods here do.
        supervised_halving: share of training after which the rate of supervised steps is halved, and again; None keeps
            to the recipe's schedule. 0.1 for BraTS, 0.2 for WMH.
        unsupervised_halving: the same for the other steps. 0.2 for BraTS, 0.3 for WMH.
    """

    steps_per_cycle = 2
    student: SegmentationNetwork

    def __init__(
        self,
        network: Builder,
        *,
        weight: Weight = 20.0,
        temperature: Positive = 0.5,
        levels: tuple[int, ...] | None = None,
        through: bool = False,
        dice: bool = True,
        supervised_halving: Positive | None = None,
        unsupervised_halving: Positive | None = None,
    ):
        super().__init__(network)
        self.student = network()
        if not isinstance(self.student.decoder, Decoder):
            raise ValueError(
                "multi_scale_consistency runs a decoder level by level, which it cannot with a "
                f"{type(self.student.decoder).__name__}: give a network with a networks.segmenter.Decoder, e.g. unet"
            )
        self.heads = level_heads(self.student)
        self.weight, self.temperature, self.through = weight, temperature, through
        self.error = dice_ce if dice else cross_entropy
        self.halving = supervised_halving, unsupervised_halving

        depth = len(self.student.map_widths)
        unknown = [level for level in levels or () if not -depth <= level < depth]
        if unknown or levels == ():
            raise ValueError(
                f"levels = {levels}: the network has {depth} levels, 0 the finest to {depth - 1} (or -1) the bottleneck"
            )
        self.levels = {level % depth for level in (range(depth) if levels is None else levels)}

    def rate(self, clock, scheduled):
        after = self.halving[clock.step % 2]
        return scheduled if after is None else 0.5 ** math.floor(clock.step / (after * clock.steps) + 1e-9)

    def step(self, batch, minimize, clock):
        if clock.step % 2 == 0:
            x, y = batch.labeled.image, batch.labeled.label
            maps = self.student.decode(self.student.encode(x))
            logits = [classify(m) for classify, m in zip(self.classifiers, maps, strict=True)]
            labels = label_pyramid(y, self.student.strides, self.student.classes)
            losses = [self.error(f, y_k) for f, y_k in zip(logits, labels, strict=True)]
            minimize([self.student, self.heads], supervised=sum(losses))
        else:
            losses = self.disagreements(batch.unlabeled.image)
            minimize([self.student, self.heads], consistency=self.weight * clock.progress * sum(losses))

    @property
    def classifiers(self):
        """a_k of every level, finest first."""
        return [self.student.head, *self.heads]

    def disagreements(self, u):
        """d(f_k, f̃_k) at each of the levels, coarsest first."""
        assert isinstance(self.student.decoder, Decoder)
        features, decoder = self.student.encode(u), self.student.decoder.levels
        clean, losses = features[-1], []
        for k in reversed(range(min(self.levels), len(features))):
            below, skip = clean if self.through else clean.detach(), features[k]
            bottleneck = k == len(decoder)
            with torch.set_grad_enabled(self.through):
                clean = skip if bottleneck else decoder[k](clean, skip)  # g_k(z_k)
            if k in self.levels:
                student = perturbed(skip) if bottleneck else decoder[k](perturbed(below), perturbed(skip))  # g_k(z̃_k)
                with torch.no_grad():
                    target = self.probability(self.classifiers[k](clean).float() / self.temperature)  # Sharpen(f_k, T)
                losses.append(probability_mse(self.probability(self.classifiers[k](student)), target))
        return losses
