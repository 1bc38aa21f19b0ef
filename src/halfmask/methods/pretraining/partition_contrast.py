"""Partition contrast: a slice is to be told from all other parts of its image by the same part of another."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from halfmask.learning.partitions import PartitionPretrainer, Stages, Stop
from halfmask.losses.partitions import partition_contrast
from halfmask.networks.factory import Builder


class PartitionContrast(PartitionPretrainer):
    """Yıldız, "Accelerated semi-supervised medical image segmentation", 2022, Eq. 3, on the partitions of Chaitanya
    et al., NeurIPS 2020, arXiv:2006.10511.

    The rival of `comparative`: all the same but for the objective, a softmax of the slice of the same partition of
    another image against those of all other partitions of the same image, without a temperature. The mean over pairs of
    images, partitions and axes, summed over classes.

    Args:
        partitions: P, of each axis.
        stages: "both", or the "encoder" alone.
        stop: when a stage ends: "windows", "paper" or "never", as in `comparative`.
    """

    def __init__(
        self,
        network: Builder,
        *,
        partitions: Annotated[int, Field(ge=2)] = 4,
        stages: Stages = "both",
        stop: Stop = "windows",
    ):
        super().__init__(network, partitions, stages, stop)

    def objective(self, s):
        return partition_contrast(s)
