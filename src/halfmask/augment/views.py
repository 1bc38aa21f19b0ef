"""The augmentation policies: weak and labeled views of loaded crops, and the strong view of a weak one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from halfmask.augment import intensity
from halfmask.augment.draw import bias_knots, factor, histogram_levels, sometimes, uniform
from halfmask.augment.mixing import Box, cutout
from halfmask.augment.space import Space
from halfmask.data.batch import Images


@dataclass(frozen=True)
class Augmentation:
    """Augmentation as the plan's facts call for it.

    Images come as crops of `margin` voxels, or of any size from `patch` on, and leave as `patch`; so do their
    labels, where there are any.

    Attributes:
        patch: voxels per axis; its length says whether 2D or 3D.
        space: what its axes allow.
        elastic: the greatest elastic displacement in voxels of the finest axis; 0, nnU-Net's choice, is none.
        enabled: if not, crops are only cut to `patch` about their center.
    """

    patch: tuple[int, ...]
    space: Space
    elastic: float = 0.0
    enabled: bool = True

    def __post_init__(self) -> None:
        if len(self.patch) != len(self.space.spacing):
            raise ValueError(f"patch {self.patch} and {self.space} should each have one entry per axis")

    def margin(self) -> tuple[int, ...]:
        """The crop to load, some 1.16 patches along free axes: room for jitter, context for rotations."""
        share = 0.08 * self.enabled
        return tuple(n + 2 * round(share * n * able) for n, able in zip(self.patch, self.space.free, strict=True))

    def weak(self, images: Images) -> Images:
        """Flips, jitter and, in one image of five each, a rotation up to 10° and a scale of 0.9–1.1."""
        return self._move(images, rotation=math.radians(10), scale=(0.9, 1.1))

    def labeled(self, images: Images) -> Images:
        """nnU-Net's training augmentation, with the probabilities and ranges of its version 2.

        Isensee et al., Nature Methods 2021, doi:10.1038/s41592-020-01008-z. Rotations reach 30°, or 180°
        where they keep to one plane and both its axes may be flipped. Where we differ: rotations take place
        in mm, scales are drawn log-uniformly, and jitter is as wide as the crop allows.
        """
        images = self._move(images, rotation=self.space.turn, scale=(0.7, 1.4), elastic=self.elastic)
        if not self.enabled:
            return images
        x = images.image
        size = x.shape[:2]
        x = intensity.noise(x, sometimes(uniform((len(x), 1), 0, 0.1), 0.1, 0.0))
        x = intensity.blur(x, sometimes(uniform(size, 0.5, 1), 0.2, 0.0, each=0.5))
        x = intensity.brightness(x, sometimes(factor(size, 0.75, 1.25), 0.15, 1.0))
        x = intensity.contrast(x, sometimes(factor(size, 0.75, 1.25), 0.15, 1.0))
        x = intensity.low_resolution(x, sometimes(uniform(size, 0.5, 1), 0.25, 1.0, each=0.5), self.space.free)
        x = intensity.gamma(x, sometimes(factor(size, 0.7, 1.5), 0.1, 1.0), inverted=True)
        x = intensity.gamma(x, sometimes(factor(size, 0.7, 1.5), 0.3, 1.0))
        return images.with_(image=x)

    def _move(self, images: Images, rotation: float, scale: tuple[float, float], elastic: float = 0.0) -> Images:
        crop = tuple(images.image.shape[2:])
        if len(crop) != len(self.patch) or any(m < n for m, n in zip(crop, self.patch, strict=True)):
            raise ValueError(f"crops of {crop} voxels cannot give patches of {self.patch}")
        geometry = self.space.draw(
            images.image,
            self.patch,
            rotation=rotation,
            scale=scale,
            elastic=elastic,
            jitter=[self.enabled * (m - n) // 2 for m, n in zip(crop, self.patch, strict=True)],
            p_flip=0.5 * self.enabled,
            p_rotation=0.2 * self.enabled,
            p_scale=0.2 * self.enabled,
            p_elastic=0.2 * self.enabled,
        )
        label = images.label if images.label_map is None else geometry.label(images.label_map)
        place = None if images.place is None else geometry.place(images.place)
        return images.with_(image=geometry.image(images.image), label=label, place=place)


def strong(image: Tensor, holes: bool = False) -> Tensor:
    """The strong view (B, C, *spatial) of a weak one, for FixMatch and its kin.

    Intensities only, so that what holds for the weak view holds for this one voxel by voxel: what color
    jitter and blur are to photographs. With `holes` half the images lose a box, filled with noise.
    """
    size = image.shape[:2]
    x = intensity.histogram_shift(image, histogram_levels(size, p=0.5))
    x = intensity.bias_field(x, bias_knots(size, image.ndim - 2, p=0.3))
    x = intensity.gamma(x, sometimes(factor(size, 0.5, 2), 0.25, 1.0), inverted=True)
    x = intensity.gamma(x, sometimes(factor(size, 0.5, 2), 0.25, 1.0))
    x = intensity.contrast(x, sometimes(factor(size, 0.5, 1.5), 0.8, 1.0))
    x = intensity.shift(x, sometimes(uniform(size, -0.5, 0.5), 0.8, 0.0))
    x = intensity.blur(x, sometimes(uniform(size, 0.5, 1.5), 0.5, 0.0))
    x = intensity.low_resolution(x, sometimes(uniform(size, 0.5, 1), 0.25, 1.0))
    x = intensity.noise(x, sometimes(uniform(size, 0, 0.2), 0.5, 0.0))
    if holes:
        x = cutout(x, Box.draw(x, volume=(0.02, 0.3), p=0.5), torch.randn_like(x))
    return x
