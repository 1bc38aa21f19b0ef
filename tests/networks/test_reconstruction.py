import pytest
import torch

from halfmask.networks.factory import make
from halfmask.networks.reconstruction import reconstruction


@pytest.mark.parametrize(
    ("name", "patch", "options", "factors"),
    [
        ("unet", (8, 16, 32), {"pooling": [(1, 1, 1), (1, 2, 2), (2, 2, 2), (2, 2, 2)], "width": 4},
         [(2, 2, 2), (2, 2, 2), (1, 2, 2)]),
        ("unet", (36, 24), {"pooling": [(1, 1), (3, 2), (2, 2)], "width": 4}, [(2, 2), (3, 2)]),
        ("swin_unet", (64, 64), {"embed": 12, "heads": (2, 2)}, [(2, 2)] * 3),
    ],
)  # fmt: skip
def test_it_makes_images_of_the_bottleneck(name, patch, options, factors):
    network = make(name, channels=3, classes=2, dims=len(patch), patch=patch, **options).without_decoder()
    head = reconstruction(network, patch)
    image = head(network.encode(torch.randn(2, 3, *patch))[-1])
    assert image.shape == (2, 3, *patch)
    widths = [m.out_channels for m in head.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Conv3d))]
    assert widths == [*(network.widths[-1] // 2**k for k in range(1, len(factors) + 1)), 3]
    assert [tuple(map(int, m.scale_factor)) for m in head if isinstance(m, torch.nn.Upsample)] == factors


def test_one_voxel_is_refused():
    network = make("unet", channels=1, classes=2, dims=2, patch=(16, 16), norm="batch", width=4)
    with pytest.raises(ValueError, match="one voxel"):
        reconstruction(network, network.strides[-1])
