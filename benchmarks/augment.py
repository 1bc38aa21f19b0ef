"""Time of the labeled augmentation of 2×96³ samples, on MONAI's dictionary transforms and here.

    python benchmarks/augment.py [--device cuda] [--size 96] [--rounds 30]

Both take the same crops and nnU-Net's probabilities and ranges, and give image and label; MONAI takes
sample after sample, as in a loader, and here a batch of two goes at once. Rounds alternate between them, so
that a busy machine slows both. One thread, unless OMP_NUM_THREADS says otherwise.
"""

from __future__ import annotations

import argparse
import math
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from monai import transforms as mt
from monai.utils import set_determinism

from halfmask.augment.views import Augmentation, strong
from halfmask.data.batch import Images


def monai(size: int) -> mt.Compose:
    """nnU-Net's labeled augmentation from MONAI's parts, as near as they come."""
    angle = math.pi / 6
    return mt.Compose(
        [
            # p of a rotation or a scale: 1 − 0.8².
            mt.RandAffined(
                ["image", "label"],
                prob=0.36,
                rotate_range=[angle] * 3,
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=30)
    given = parser.parse_args()
    torch.manual_seed(0)
    set_determinism(0)
    augmentation = Augmentation((given.size,) * 3, (1.0,) * 3, (True,) * 3)
    image = torch.randn(2, 2, *augmentation.margin(), device=given.device)
    images = Images(image, (image[:, 0] > 0).long(), torch.arange(2))
    theirs = monai(given.size)
    samples = [{"image": x, "label": y[None].float()} for x, y in zip(image, images.label, strict=True)]
    patch = augmentation.weak(images).image
    contestants = {
        "MONAI, labeled": lambda: [theirs(dict(sample)) for sample in samples],
        "halfmask, labeled": lambda: augmentation.labeled(images),
        "halfmask, weak": lambda: augmentation.weak(images),
        "halfmask, strong": lambda: strong(patch),
    }
    spent = dict.fromkeys(contestants, 0.0)
    for round_ in range(given.rounds + 2):
        for name, run in contestants.items():
            start = time.perf_counter()
            run()
            if given.device != "cpu":
                torch.cuda.synchronize()
            spent[name] += (time.perf_counter() - start) * (round_ >= 2)
    for name, seconds in spent.items():
        ratio = spent["MONAI, labeled"] / seconds
        print(f"{name:20s} {1000 * seconds / given.rounds / 2:7.1f} ms a sample   {ratio:4.1f}×")


if __name__ == "__main__":
    main()
