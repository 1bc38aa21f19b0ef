"""What every method is: some networks, and one training step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from halfmask.augment.space import Space
from halfmask.data.batch import Batch, Images
from halfmask.learning.clock import Clock
from halfmask.learning.minimize import Minimize
from halfmask.learning.recipe import Recipe
from halfmask.losses.entropy import class_entropy, region_entropy
from halfmask.networks.backbone import Backbone
from halfmask.networks.factory import Builder


class Method(nn.Module):
    """A learning method: the networks it trains, and how one step moves them.

    A method is a module, so its networks, averages and memory banks are saved, moved to a device
    and restored as one. Its constructor takes ``network``, a builder (`networks.factory.Builder`),
    and then its settings as keywords; the command line, study files and docs read name, type and
    default from there, so each has one home.

    Attributes:
        exclusive: whether each voxel is of one class alone, or regions may overlap.
        space: what the axes of the images allow, for a method that moves them itself.
        recipe: what it proposes for the run.
        steps_per_cycle: after so many steps every kind of step has come once.
        alone: it keeps something of each case that a process has seen, so one process trains it.
        alike: unlabeled images are augmented as the labeled are, for a method that compares the two; else weakly.
        evenly: every other labeled crop, from the first on, lies anywhere, as unlabeled ones do, for a method that
            compares them; the rest lie on foreground. Else each does so by chance.
        adversarial: a critic judges what its networks make, so that the game between them is watched
            (`training.stability`). Its losses are called supervised, adversarial… and critic…, its critics'
            accuracy told_apart, in [0, 1].
    """

    recipe: ClassVar[Recipe] = Recipe()
    steps_per_cycle: ClassVar[int] = 1
    alone: ClassVar[bool] = False
    alike: ClassVar[bool] = False
    evenly: ClassVar[bool] = False
    adversarial: ClassVar[bool] = False

    def __init__(self, network: Builder):
        super().__init__()
        self.exclusive = network.exclusive
        ones, none = (1.0,) * network.dims, (False,) * network.dims
        self.space = Space(tuple(network.spacing or ones), tuple(network.flips or none))

    def step(self, batch: Batch, minimize: Minimize, clock: Clock) -> None:
        """Take one training step.

        Args:
            batch: labeled and unlabeled images, each (B, C, *spatial), labels (B, *spatial), or
                (B, K, *spatial) if regions may overlap; both moved, turned and scaled already, the
                labeled changed in intensity too.
            minimize: ``minimize(networks, name=loss, ...)`` moves those networks' weights down the
                sum of the losses. They have moved when it returns: what follows sees the new ones.
            clock: how far training is.
        """
        raise NotImplementedError

    def begin(self, cases: Mapping[str, tuple[int, ...]]) -> None:
        """Learn which unlabeled cases there are, for a method that keeps something of each.

        Args:
            cases: name and shape (3,) as stored, in the order of the numbers in `Images.case`.
        """

    def sweep(self, batches: Iterable[Images]) -> None:
        """Look at the unlabeled images before the first step of each epoch, for a method that needs them all at once.

        What comes of it stands in buffers, or in weights that no optimizer moves: a run that is resumed in mid-epoch
        has them from its checkpoint. Random numbers depend on (seed, step) alone, and all processes of a training see
        the same images here; each computes for itself, and all go on with what the leading one found.

        Args:
            batches: images (B, C, *spatial) as they were cut, of each case about once, or of as many cases as
                `training.feed.SWEPT` allows; to be gone through once.
        """

    def rate(self, clock: Clock, scheduled: float) -> float:
        """The factor on all learning rates in this step; ``scheduled`` is what the recipe's schedule says."""
        return scheduled

    def optimizers(self, default: Callable[..., Optimizer]) -> dict[str, Optimizer]:
        """One optimizer for each network that learns, under the network's attribute name."""
        learns = lambda net: any(p.requires_grad for p in net.parameters())
        return {name: default(net.parameters()) for name, net in self.named_children() if learns(net)}


class Segmenter(Method):
    """A method whose result is a network that segments: by default the one called ``student``."""

    student: nn.Module

    @property
    def predictor(self) -> nn.Module:
        """The network that predicts."""
        return self.student

    @property
    def labeler(self) -> nn.Module:
        """The network whose word on unlabeled images trains ``student``: a ``teacher``, a ``peer``, or itself."""
        return getattr(self, "teacher", None) or getattr(self, "peer", None) or self.student

    def predict(self, image: Tensor) -> Tensor:
        """Probabilities (B, K, *spatial), float32, of images (B, C, *spatial)."""
        return self.probability(self.predictor(image))

    def probability(self, logits: Tensor) -> Tensor:
        """Probabilities (B, K, *spatial), float32, from logits: of classes, which sum to 1, or of each region."""
        return logits.float().softmax(dim=1) if self.exclusive else logits.float().sigmoid()

    def entropy(self, probability: Tensor) -> Tensor:
        """How undecided each voxel is, in [0, 1]: (B, *spatial), or (B, K, *spatial) for regions."""
        return class_entropy(probability) if self.exclusive else region_entropy(probability)

    def decide(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """What a network says, as a label, and how sure it is of it; both without gradient.

        Returns:
            confidence, float32, and label, int64: (B, *spatial) class numbers, or (B, K, *spatial) 0 and 1 of each
            region, as the labels of a batch are.
        """
        p = self.probability(logits.detach())
        if self.exclusive:
            return tuple(p.max(dim=1))  # type: ignore[return-value]
        return torch.maximum(p, 1 - p), (p > 0.5).long()


class Classifier(Method):
    """A method whose result tells what whole images show: an encoder, ``student``, and a ``head`` on its embeddings.

    The labels of its batch are (B,) class numbers, or (B, K) of 0, 1 and `IGNORE` where an image may be of several.
    """

    student: Backbone
    head: nn.Module

    def logits(self, image: Tensor) -> Tensor:
        """(B, K) of images (B, C, *spatial)."""
        return self.head(self.student.embed(image))

    def predict(self, image: Tensor) -> Tensor:
        """Probabilities (B, K), float32: of classes, which sum to 1, or of each class by itself."""
        logits = self.logits(image).float()
        return logits.softmax(dim=1) if self.exclusive else logits.sigmoid()

    def count(self, counts: Tensor) -> None:
        """Learn how many labeled images are of each class.

        Args:
            counts: (K,), or (2, K) without and with each of classes that may come together.
        """


class Pretrainer(Method):
    """A method that learns from images alone, whose networks others start from.

    The batch has no labeled half, and its images are as they were cut: views are the method's own business.

    Attributes:
        keeps: the networks that others may start from, and the parts of each that have learned.
        aligned: the crops of a batch are to lie at the same place of their cases, where partitions correspond.
        held: the share of cases that it is not trained on, where it has a loss to be `judge`d by.
        phases: shares of the steps at which each kind of them comes, where training has several phases.
    """

    recipe = Recipe("adamw", 1e-3, weight_decay=0.05, schedule="cosine", labeled=0, unlabeled=8)
    keeps: ClassVar[Mapping[str, tuple[str, ...]]] = {"student": ("encoder",)}
    aligned: ClassVar[bool] = False
    held: ClassVar[float] = 0.0
    phases: ClassVar[tuple[float, ...]] = (0.5,)

    @property
    def kept(self) -> Backbone:
        """The first of the networks that others may start from."""
        return getattr(self, next(iter(self.keeps)))

    def judge(self, image: Tensor) -> Tensor:
        """A loss, the smaller the better, on images (B, C, *spatial) of cases that it was not trained on.

        The weights with the smallest are kept as the best, and training stops when it has not fallen for long.
        """
        raise NotImplementedError


class Clusterer(Method):
    """A method that learns from images alone to put their voxels into clusters.

    Clusters are numbers, named when they are evaluated (`evaluation.naming`). As a `Pretrainer`'s, its batch has no
    labeled half, and its images are as they were cut.

    Attributes:
        clusters: K, from 2 to 255, as masks hold their numbers in 8 bits.
    """

    recipe = Recipe(labeled=0)
    clusters: int

    def predict(self, image: Tensor) -> Tensor:
        """How much each voxel belongs to each cluster, (B, K, *spatial), float32, which sums to 1."""
        raise NotImplementedError


class Converged(Exception):
    """A method says so in a step after which training has nothing to add; the step counts."""
