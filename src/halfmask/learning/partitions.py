"""What comparative and contrastive pre-training on partitions share; they differ in their objective alone."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from halfmask.augment.views import strong
from halfmask.learning.convergence import Convergence
from halfmask.learning.method import Converged, Pretrainer
from halfmask.learning.recipe import Recipe
from halfmask.losses.partitions import Similarity, similarity, slices
from halfmask.losses.segmentation import precise
from halfmask.networks.factory import Builder
from halfmask.networks.levels import by

Stages = Literal["both", "encoder"]
Stop = Literal["windows", "paper", "never"]


class PartitionPretrainer(Pretrainer):
    """Stage 1 trains the encoder on the bottleneck's features, stage 2 the whole network on its class maps.

    Each step takes all axes, by one pass of the network and the mean of their objectives. Stage 2 begins when stage 1
    has converged, or with the second half of the steps; when it has converged as well, training ends.

    The slices of one place in all images have to show the same anatomy: crops are aligned, and views differ in
    intensities alone, as a flip would send a slice into another partition.
    """

    recipe = Recipe("adamw", 1e-4, weight_decay=1e-5, schedule="constant", steps=10_000, labeled=0, unlabeled=4)
    aligned = True

    def __init__(self, network: Builder, partitions: int, stages: Stages, stop: Stop):
        super().__init__(network)
        self.student = network() if stages == "both" else network.encoder()
        if stages == "both":
            self.keeps = {"student": ("encoder", "decoder", "head")}  # type: ignore[misc]  # else the encoder alone
        self.stage, self.last = 1, 2 if stages == "both" else 1
        self.convergence = None if stop == "never" else Convergence(stop)
        patch, strides = self.student.patch, self.student.strides[-1]
        if not 2 <= partitions <= min(patch):
            raise ValueError(f"partitions = {partitions} should be from 2 to {min(patch)}, the patch being {by(patch)}")
        deep = [side // stride for side, stride in zip(patch, strides, strict=True)]
        self.parts = [min(partitions, side) for side in deep], [partitions] * len(patch)
        if max(deep) < 2:
            raise ValueError(f"at the bottleneck {by(patch)} voxels are one: take a larger patch or fewer levels")

    def objective(self, s: Similarity) -> Tensor:
        """The loss of slices along one axis."""
        raise NotImplementedError

    def step(self, batch, minimize, clock):
        if self.stage < self.last and clock.progress >= 0.5:
            self._go_on()
        view = strong(batch.unlabeled.image)
        if len(view) < 2:
            raise ValueError("slices are compared between images: give --batch 2 or more")
        x = self.student.encode(view)[-1] if self.stage == 1 else self.student(view)
        losses = [
            self.objective(similarity(self._maps(slices(x, axis, parts))))
            for axis, parts in enumerate(self.parts[self.stage - 1])
            if parts > 1
        ]
        loss = torch.stack(losses).mean()
        minimize(self.student, slices=loss)
        minimize.log(stage=self.stage)
        if self.convergence is not None and self.convergence(minimize.mean(loss)):
            if self.stage == self.last:
                raise Converged("the loss has converged")
            self._go_on()

    def _maps(self, x: Tensor) -> Tensor:
        """Slices (B, P, C, F) as those of each map, (K, B, P, F): of all features together, or of each class."""
        if self.stage == 1:
            return x.flatten(2)[None]
        x = precise(x)  # of the slices alone, not of whole volumes
        return (x.softmax(2) if self.exclusive else x.sigmoid()).movedim(2, 0)

    def _go_on(self) -> None:
        self.stage += 1
        if self.convergence is not None:
            self.convergence.restart()

    def get_extra_state(self) -> Tensor:
        return torch.tensor(self.stage)

    def set_extra_state(self, state: Tensor) -> None:
        self.stage = int(state)
