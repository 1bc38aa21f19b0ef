"""The sliding window: ours against MONAI's, with the same networks, overlap and Gaussian (σ an eighth of a side).

    python benchmarks/sliding_window.py [--rounds 7]

The network is one convolution, so that what is timed is cutting and stitching; the last row has a small U-Net, where
both wait for the network. Windows of 64³ overlap by a half, four at once. Where the steps fit the volume, both lay
the same windows, and results differ by the Gaussian's floor of 1/1000 alone (of its peak here, absolute there). Where
they do not, MONAI pushes the last window back and ours lie evenly: as many windows, elsewhere. There the convolution
is of one voxel, which sees no window's border, so that results must still be equal. One thread, unless
OMP_NUM_THREADS says otherwise.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from monai.inferers import sliding_window_inference
from torch import Tensor, nn
from turns import Row, arguments, by_turns, compare, finish

from halfmask.inference.sliding_window import Predict, sliding_window
from halfmask.networks.factory import make

PATCH = (64, 64, 64)
FITTING, UNEVEN = (96, 128, 128), (90, 120, 109)


def main() -> None:
    given = arguments(__doc__, rounds=7).parse_args()
    torch.manual_seed(0)
    unet = make("unet", channels=2, classes=3, dims=3, patch=PATCH, width=4)
    rows = [
        *race("one convolution, 3 classes", nn.Conv3d(2, 3, 3, padding=1), FITTING, given.rounds, 1e-3),
        *race("one convolution, 14 classes", nn.Conv3d(2, 14, 3, padding=1), FITTING, given.rounds, 1e-3),
        *race("one convolution of 1³, 3 classes", nn.Conv3d(2, 3, 1), UNEVEN, given.rounds, 1e-4),
        *race("U-Net of width 4, 3 classes", unet, FITTING, max(3, given.rounds // 3), 1e-2),
    ]
    finish(rows, given.json)


@torch.inference_mode()
def race(what: str, network: nn.Module, shape: tuple[int, ...], rounds: int, bound: float) -> list[Row]:
    """One image (2, *shape) by both; probabilities that differ by more than ``bound`` stop it."""
    image = torch.randn(2, *shape)
    network.eval()
    predict: Predict = lambda x: network(x).softmax(1)

    def ours() -> Tensor:
        return sliding_window(image, predict, patch=PATCH, overlap=0.5, batch=4)

    def theirs() -> Tensor:
        return sliding_window_inference(image[None], PATCH, 4, predict, overlap=0.5, mode="gaussian")[0]

    apart = (ours() - theirs()).abs()
    assert apart.max() < bound, (what, float(apart.max()))
    agree = f"largest difference {apart.max():.0e}, mean {apart.mean():.0e}"
    times = by_turns({"halfmask": ours, "MONAI": theirs}, rounds)
    full = f"{what}, {'×'.join(map(str, shape))}"
    return compare(full, times, "halfmask", unit="ms a volume", agree={"MONAI": agree})


if __name__ == "__main__":
    main()
