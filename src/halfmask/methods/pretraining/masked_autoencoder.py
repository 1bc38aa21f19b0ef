"""Masked autoencoder: most of an image is masked and reconstructed from the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from halfmask.augment.tokens import masked_tokens, normalized_tokens, token_sides
from halfmask.config import Count, Share
from halfmask.learning.method import Pretrainer
from halfmask.losses.masked import masked_mse
from halfmask.networks.factory import Builder
from halfmask.networks.levels import by


class MaskedAutoencoder(Pretrainer):
    """He et al., CVPR 2022, arXiv:2111.06377; for networks that segment as in Wald et al., CVPR 2025, arXiv:2410.23132.

    The whole network reconstructs the image, so that its decoder goes over too, and the loss counts masked voxels
    alone. Masked tokens are not dropped but set to 0, an image's mean: convolutions and Swin blocks know no other way,
    and with a vision transformer (UNETR) it is nearer to SimMIM (arXiv:2111.09886). Images are mirrored where the plan
    allows it.

    Args:
        masked: the share of tokens.
        token: sides of the tokens in voxels, or one side for all; if None, along each axis the greatest power of 2 up
            to 16 that divides the patch and leaves four tokens.
        normalize: targets are normalized by token and channel. Better on photographs; here it would make the noise of
            empty background as large as the anatomy.
    """

    keeps: ClassVar[Mapping[str, tuple[str, ...]]] = {"student": ("encoder", "decoder")}
    held = 0.2

    def __init__(
        self,
        network: Builder,
        *,
        masked: Share = 0.75,
        token: tuple[Count, ...] | None = None,
        normalize: bool = False,
    ):
        super().__init__(network)
        patch = tuple(network.patch)
        self.token = token_sides(patch) if token is None else token * (len(patch) if len(token) == 1 else 1)
        if len(self.token) != len(patch) or any(n % side for n, side in zip(patch, self.token, strict=True)):
            fits = by(token_sides(patch))
            raise ValueError(f"tokens of {by(self.token)} do not divide a patch of {by(patch)}; {fits} would")
        if self.token == patch:
            raise ValueError(f"one token covers the whole patch of {by(patch)}: take smaller ones")
        self.student = network(classes=network.channels)
        self.masked, self.normalize = masked, normalize

    def step(self, batch, minimize, clock):
        image = batch.unlabeled.image
        minimize(self.student, reconstruction=self._loss(self.space.draw(image).image(image)))

    def judge(self, image):
        return self._loss(image)

    def _loss(self, image):
        mask = masked_tokens(image, self.token, self.masked)
        target = normalized_tokens(image, self.token) if self.normalize else image
        return masked_mse(self.student(image.masked_fill(mask, 0)), target, mask)
