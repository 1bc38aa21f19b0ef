"""Cross-consistency training: decoders of perturbed features agree with the main one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from halfmask.augment.features import adversarial, drop_active, drop_maps, masked, object_cutout, uniform_noise
from halfmask.config import Count, Positive, Weight
from halfmask.learning.method import Segmenter
from halfmask.learning.schedules import sigmoid_rampup
from halfmask.losses.consistency import probability_mse
from halfmask.losses.segmentation import dice_ce
from halfmask.networks.branch import Branch
from halfmask.networks.factory import Builder
from halfmask.networks.segmenter import SegmentationNetwork

_FREE: dict[str, Callable[..., Tensor]] = {"noise": uniform_noise, "active": drop_active, "maps": drop_maps}
Family = Literal["noise", "active", "maps", "cutout", "context", "object", "adversarial"]


class CrossConsistency(Segmenter):
    """Ouali et al., CVPR 2020, arXiv:2003.09005.

    Auxiliary decoders, each with its own weights and its own perturbation of the encoder's features, are to say of
    unlabeled images what the main decoder says of the clean features. That passes no gradient, so the consistency
    teaches them and the encoder; the main decoder learns from labels alone. Theirs hang on the last feature of an
    encoder without skips; ours are decoders as the network has them, with the features of every level perturbed, else
    the skips would show what the bottleneck hides. Box and masks of the guided families are the same at all levels.
    They go by all foreground or, as regions together may cover the image, by one region drawn for each image.

    The authors' code has 30 auxiliary decoders, of one layer and up-sampling each; ours cost half a network each on the
    unlabeled images. Adversarial noise leads away from the main prediction, theirs from the auxiliary decoder's own.

    Args:
        weight: λ_u, of the mean over the auxiliary decoders, at the end of its ramp-up.
        ramp: share of training that the ramp-up takes; 0.1 in the paper, whose trainings are longer.
        families: of perturbations: uniform noise, the most active places dropped, whole maps dropped, a box cut
            out of the foreground, the context of it hidden, the object hidden, adversarial noise.
        each: auxiliary decoders for each family; in the authors' code 6, but 2 for each of the last three.
    """

    student: SegmentationNetwork

    def __init__(
        self,
        network: Builder,
        *,
        weight: Weight = 30.0,
        ramp: Positive = 1.0,
        families: tuple[Family, ...] = ("noise", "active", "maps", "cutout", "context", "object", "adversarial"),
        each: Count = 1,
    ):
        super().__init__(network)
        if not families:
            raise ValueError("cross_consistency needs a family of perturbations at least, e.g. families=noise")
        self.student = network()
        self.families = families * each
        self.auxiliaries = nn.ModuleList(Branch(network()) for _ in self.families)
        self.weight, self.ramp = weight, ramp

    def step(self, batch, minimize, clock):
        n = len(batch.labeled)
        features = self.student.encode(batch.image)
        labeled, unlabeled = [f[:n] for f in features], [f[n:] for f in features]
        with torch.no_grad():
            main = self.student.head(self.student.decode(unlabeled)[0])
        target, foreground = self.probability(main), self.foreground(main)

        apart = []
        for family, auxiliary in zip(self.families, self.auxiliaries, strict=True):
            views = self.views(family, unlabeled, auxiliary, target, foreground)
            apart.append(probability_mse(self.probability(auxiliary(views)), target))
        minimize(
            [self.student, self.auxiliaries],
            supervised=dice_ce(self.student.head(self.student.decode(labeled)[0]), batch.labeled.label),
            consistency=self.weight * sigmoid_rampup(clock.progress, self.ramp) * sum(apart) / len(apart),
        )

    def foreground(self, logits):
        """Where the objects of the guided families are, (B, 1, *spatial), bool."""
        label = self.decide(logits)[1]
        if self.exclusive:
            return (label != 0)[:, None]
        drawn = torch.randint(label.shape[1], (len(label),), device=label.device)
        return label[torch.arange(len(label), device=label.device), drawn][:, None] == 1

    def views(self, family, features, auxiliary, target, foreground):
        """The features of every level, perturbed."""
        if family == "adversarial":
            distance = lambda moved: (self.probability(auxiliary(moved)) - target).square().sum()
            return adversarial(features, distance)
        if family in _FREE:
            return [_FREE[family](f) for f in features]
        keep = {"cutout": object_cutout(foreground), "context": foreground, "object": ~foreground}[family]
        return [masked(f, keep) for f in features]
