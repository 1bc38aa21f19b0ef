"""FixMatch: confident labels of a weak view teach the strong view."""

from __future__ import annotations

import torch

from halfmask.augment.views import strong
from halfmask.config import Share, Weight
from halfmask.learning.method import Segmenter
from halfmask.losses.consistency import pseudo_label_ce
from halfmask.losses.segmentation import dice_ce
from halfmask.networks.factory import Builder


class FixMatch(Segmenter):
    """Sohn et al., NeurIPS 2020, arXiv:2001.07685, each voxel an example.

    The weak view is the batch's own: moved, turned and scaled. The strong view changes its intensities
    and cuts a box out, so both see each voxel at the same place. Voxels under the threshold are left
    out, not trained as background, and the mean is over all unlabeled voxels (Eq. 4).

    Args:
        weight: λ_u.
        threshold: τ, the confidence from which a label is kept.
    """

    def __init__(self, network: Builder, *, weight: Weight = 1.0, threshold: Share = 0.95):
        super().__init__(network)
        self.student = network()
        self.weight, self.threshold = weight, threshold

    def step(self, batch, minimize, clock):
        x, y, u = batch.labeled.image, batch.labeled.label, batch.unlabeled.image
        with torch.no_grad():
            confidence, pseudo = self.decide(self.student(u))
        labeled, unlabeled = self.student(torch.cat([x, strong(u, holes=True)])).split([len(x), len(u)])

        keep = confidence >= self.threshold  # 1(max q_b ≥ τ)
        minimize(
            self.student,
            supervised=dice_ce(labeled, y),
            pseudo=self.weight * pseudo_label_ce(unlabeled, pseudo, keep),
        )
        minimize.log(kept=keep.float().mean())
