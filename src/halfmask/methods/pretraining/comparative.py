"""Comparative: a slice is more like the same part of another image than like another part of its own, by triplets."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from halfmask.learning.partitions import PartitionPretrainer, Stages, Stop
from halfmask.losses.partitions import comparative, sampled_comparative
from halfmask.networks.factory import Builder


class Comparative(PartitionPretrainer):
    """Yıldız, "Accelerated semi-supervised medical image segmentation", 2022, on the partitions of Chaitanya et al.,
    NeurIPS 2020, arXiv:2006.10511.

    Each axis is cut into partitions, a slice is drawn from each, and of each triplet (slice, the same partition of
    another image, another partition of the same image) the first two are to be more alike (`losses.partitions`).
    Stage 1 compares the encoder's last features, stage 2 the class maps, one cosine for each class. Where the paper is
    silent: losses are means over triplets and axes and sums over classes; the axes move the weights together, not in
    turn; views differ in intensities (its flips would exchange partitions); where the last features have fewer slices
    along an axis than there are partitions, each slice is one. The output layer is kept too: its maps are what stage 2
    learns, though which class each will be is open. (Of a UNETR stage 1 leaves the skips as they are.)

    Args:
        partitions: P, of each axis.
        pairs: "all" takes every triplet of a batch, "sampled" one for each image and axis.
        stages: "both", or the "encoder" alone.
        stop: when a stage ends. "windows": the means of two successive 100 steps differ by less than 1 %, after 500
            steps at least; "paper": the loss is within 1 % of the mean of its latest 10, which noise soon fulfills;
            "never": at half the steps, and at the end.
    """

    def __init__(
        self,
        network: Builder,
        *,
        partitions: Annotated[int, Field(ge=2)] = 4,
        pairs: Literal["all", "sampled"] = "all",
        stages: Stages = "both",
        stop: Stop = "windows",
    ):
        super().__init__(network, partitions, stages, stop)
        self.pairs = pairs

    def objective(self, s):
        return comparative(s) if self.pairs == "all" else sampled_comparative(s)
