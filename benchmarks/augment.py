"""Labeled augmentation of 2×96³ samples: ours against MONAI's dictionary transforms and batchgeneratorsv2.

    python benchmarks/augment.py [--device cuda] [--size 96] [--rounds 25]

All take the same crops and nnU-Net's probabilities and ranges, and give image and label; the rivals take sample after
sample, as in a loader, and here a batch of two goes at once. What is drawn decides what a call costs, so one turn is
five batches. batchgeneratorsv2 is measured where it is installed; it works in place, so it is given copies. Draws
differ, so values cannot be compared voxel by voxel: mean and sd of what comes out are. The weak and strong views are
timed, too. One thread, unless OMP_NUM_THREADS says otherwise.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from monai import transforms as mt
from monai.utils import set_determinism
from torch import Tensor
from turns import arguments, by_turns, compare, finish

from halfmask.augment.space import Space
from halfmask.augment.views import Augmentation, strong
from halfmask.data.batch import Images
from halfmask.data.phantom import draw

try:
    from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform
    from batchgeneratorsv2.transforms.intensity.contrast import BGContrast, ContrastTransform
    from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
    from batchgeneratorsv2.transforms.intensity.gaussian_noise import GaussianNoiseTransform
    from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
    from batchgeneratorsv2.transforms.spatial.low_resolution import SimulateLowResolutionTransform
    from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
    from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
    from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
    from batchgeneratorsv2.transforms.utils.random import RandomTransform

    BG = True
except ImportError:
    BG = False

ANGLE = math.pi / 6
BATCHES = 5


def monai(size: int) -> mt.Compose:
    """nnU-Net's labeled augmentation from MONAI's parts, as near as they come."""
    return mt.Compose(
        [
            # p of a rotation or a scale: 1 − 0.8².
            mt.RandAffined(
                ["image", "label"],
                prob=0.36,
                rotate_range=[ANGLE] * 3,
                scale_range=[(-0.3, 0.4)] * 3,
                spatial_size=[size] * 3,
                mode=["bilinear", "nearest"],
                padding_mode="zeros",
            ),
            mt.CenterSpatialCropd(["image", "label"], [size] * 3),
            *(mt.RandFlipd(["image", "label"], prob=0.5, spatial_axis=axis) for axis in range(3)),
            mt.RandGaussianNoised("image", prob=0.1, std=0.1),
            mt.RandGaussianSmoothd("image", (0.5, 1), (0.5, 1), (0.5, 1), prob=0.2),
            mt.RandScaleIntensityd("image", factors=0.25, prob=0.15, channel_wise=True),
            mt.RandScaleIntensityFixedMeand("image", factors=0.25, prob=0.15, preserve_range=True),
            mt.RandSimulateLowResolutiond("image", prob=0.25, zoom_range=(0.5, 1)),
            mt.RandAdjustContrastd("image", prob=0.1, gamma=(0.7, 1.5), invert_image=True, retain_stats=True),
            mt.RandAdjustContrastd("image", prob=0.3, gamma=(0.7, 1.5), retain_stats=True),
        ]
    )


def batchgenerators(size: int) -> Any:
    """nnU-Net's labeled augmentation as nnU-Net 2 sets it up."""
    sometimes = lambda transform, p: RandomTransform(transform, apply_probability=p)
    each = {"synchronize_channels": False, "p_per_channel": 1}
    half = {"synchronize_channels": False, "p_per_channel": 0.5}
    gamma = {"gamma": BGContrast((0.7, 1.5)), "p_retain_stats": 1, **each}
    return ComposeTransforms(
        [
            SpatialTransform(
                (size,) * 3,
                patch_center_dist_from_border=0,
                random_crop=False,
                p_rotation=0.2,
                rotation=(-ANGLE, ANGLE),
                p_scaling=0.2,
                scaling=(0.7, 1.4),
                p_synchronize_scaling_across_axes=1,
            ),
            sometimes(GaussianNoiseTransform((0, 0.1), p_per_channel=1, synchronize_channels=True), 0.1),
            sometimes(GaussianBlurTransform((0.5, 1), synchronize_axes=False, benchmark=True, **half), 0.2),
            sometimes(MultiplicativeBrightnessTransform(BGContrast((0.75, 1.25)), **each), 0.15),
            sometimes(ContrastTransform(BGContrast((0.75, 1.25)), preserve_range=True, **each), 0.15),
            sometimes(SimulateLowResolutionTransform((0.5, 1), synchronize_axes=True, ignore_axes=None, **half), 0.25),
            sometimes(GammaTransform(p_invert_image=1, **gamma), 0.1),
            sometimes(GammaTransform(p_invert_image=0, **gamma), 0.3),
            MirrorTransform((0, 1, 2)),
        ]
    )


def main() -> None:
    parser = arguments(__doc__, size=96, rounds=25)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    torch.manual_seed(0)
    set_determinism(0)
    augmentation = Augmentation((given.size,) * 3, Space((1.0,) * 3, (True,) * 3))
    phantoms = [draw(subject, shape=augmentation.margin()) for subject in (0, 1)]
    image = torch.stack([torch.from_numpy(p.image).float() for p in phantoms]).to(given.device)
    image = (image - image.mean((2, 3, 4), keepdim=True)) / image.std((2, 3, 4), keepdim=True)
    label = torch.stack([torch.from_numpy(p.label).long() for p in phantoms]).to(given.device)
    images = Images(image, label, torch.arange(2))
    patch = augmentation.weak(images).image
    pairs = list(zip(image, images.label, strict=True))
    in_monai = monai(given.size)
    labeled: dict[str, Callable[[], list[Tensor]]] = {
        "halfmask": lambda: list(augmentation.labeled(images).image),
        "MONAI": lambda: [in_monai({"image": x, "label": y[None].float()})["image"] for x, y in pairs],
    }
    if BG:
        in_bg = batchgenerators(given.size)
        labeled["batchgeneratorsv2"] = lambda: [
            in_bg(image=x.clone(), segmentation=y[None].short())["image"] for x, y in pairs
        ]
    views = {"halfmask, weak": lambda: augmentation.weak(images), "halfmask, strong": lambda: strong(patch)}
    agree = {name: moments(call) for name, call in labeled.items()}
    what = f"labeled augmentation of a sample of 2×{given.size}³"
    finished = {name: lambda call=call: a_turn(call, given.device) for name, call in (labeled | views).items()}
    times = by_turns(finished, given.rounds, warm=1)
    said = {name: f"{agree['halfmask']} here, {there} there" for name, there in agree.items() if name != "halfmask"}
    finish(
        compare(what, times, "halfmask", unit="ms", agree=said, per=2 * BATCHES),
        given.json,
        missing=[] if BG else ["batchgeneratorsv2"],
    )
    for name in views:
        print(f"{name}: {sorted(times[name])[given.rounds // 2] / (2 * BATCHES):.1f} ms a sample")


def moments(call: Callable[[], list[Tensor]]) -> str:
    """Mean and sd of the images that come out."""
    voxels = torch.stack([torch.Tensor(image) for _ in range(12) for image in call()])
    return f"mean {voxels.mean():.2f}, sd {voxels.std():.2f}"


def a_turn(call: Callable[[], object], device: str) -> None:
    for _ in range(BATCHES):
        call()
    if device != "cpu":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
