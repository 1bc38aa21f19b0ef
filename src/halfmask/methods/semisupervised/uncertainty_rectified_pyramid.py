"""URPC: predictions at several scales agree with their mean, most where they already nearly do."""

from __future__ import annotations

import math
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field

from halfmask.config import Weight
from halfmask.learning.method import Segmenter
from halfmask.learning.schedules import sigmoid_rampup
from halfmask.losses.segmentation import dice_ce, precise
from halfmask.networks.branch import level_heads
from halfmask.networks.factory import Builder
from halfmask.networks.segmenter import SegmentationNetwork

LINEAR = {2: "bilinear", 3: "trilinear"}


class UncertaintyRectifiedPyramid(Segmenter):
    """Luo et al., MICCAI 2021, arXiv:2012.07042.

    The finest levels of the decoder, the bottleneck among them where it has no more, each predict through a classifier
    of their own, enlarged to the image. All are supervised. On unlabeled images p_s is pulled to the mean p_c of all
    scales, each voxel weighted by exp(−D_s), with D_s = KL(p_s ‖ p_c) (the public code's is KL(p_c ‖ p_s)), and
    divided by the sum of the weights; and D_s itself is pulled to 0, else all could be discounted. The gradient passes
    through p_c and the weights, too. Of the perturbations that the public code puts before its classifiers (dropout
    and feature noise) none is kept: the scales differ by themselves. `predict` uses the finest.

    Args:
        weight: λ, of the consistency at the end of its ramp-up.
        scales: how many at most; the paper's four.
    """

    student: SegmentationNetwork

    def __init__(self, network: Builder, *, weight: Weight = 0.1, scales: Annotated[int, Field(ge=2)] = 4):
        super().__init__(network)
        self.student = network()
        self.heads = level_heads(self.student, scales)
        self.weight = weight

    def step(self, batch, minimize, clock):
        n, shape = len(batch.labeled), batch.labeled.image.shape[2:]
        maps = self.student.decode(self.student.encode(batch.image))
        coarse = [head(m) for head, m in zip(self.heads, maps[1:], strict=False)]
        enlarged = [F.interpolate(precise(f), shape, mode=LINEAR[len(shape)]) for f in coarse]
        scales = [self.student.head(maps[0]), *enlarged]

        error, uncertainty = self.rectified(torch.stack([precise(f[n:]) for f in scales]))
        minimize(
            [self.student, self.heads],
            supervised=sum(dice_ce(f[:n], batch.labeled.label) for f in scales) / len(scales),
            consistency=self.weight * sigmoid_rampup(clock.progress) * (error + uncertainty),
        )
        minimize.log(uncertainty=uncertainty)

    def rectified(self, logits):
        """The weighted error and the mean D_s of logits (S, B, K, *spatial): two numbers."""
        # Outcomes in axis 2: the classes; or inside and outside of each region.
        log_p = logits.log_softmax(2) if self.exclusive else F.logsigmoid(torch.stack([logits, -logits], 2))
        log_c = log_p.logsumexp(0, keepdim=True) - math.log(len(logits))
        p = log_p.exp()
        divergence = (p * (log_p - log_c)).sum(2)  # D_s, (S, B, *spatial), or (S, B, K, *spatial)
        weight = (-divergence).exp()
        error = (p - log_c.exp()).square().mean(2)
        voxels = list(range(1, error.ndim))
        return ((weight * error).sum(voxels) / weight.sum(voxels)).mean(), divergence.mean()
