import pytest
import torch

from halfmask.data.batch import IGNORE
from halfmask.losses.pyramid import label_pyramid

HALVES = [(1, 1), (2, 2), (4, 4)]
N = IGNORE


def test_foreground_goes_before_background_and_ignored_voxels_have_no_say():
    label = torch.tensor([[[0, 0, 2, 1, N, N, 0, N],
                           [0, 3, 2, 1, N, N, N, N],
                           [0, 0, N, N, N, 1, 2, 2],
                           [0, 0, N, 3, 0, 0, 1, 1]]])  # fmt: skip
    full, half, quarter = label_pyramid(label, HALVES, 4)
    assert full is label
    assert half.tolist() == [[[3, 1, N, 0], [0, 3, 1, 1]]]  # of two classes as frequent the lower
    assert quarter.tolist() == [[[1, 1]]]


def test_the_most_frequent_foreground_class_of_all_voxels_counts():
    """Not of what the level above says: there 1 stands against 1 and 1, below are three of 2 and two of 1."""
    label = torch.tensor([[[2, 2, 0, 0], [2, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]])
    _, half, quarter = label_pyramid(label, HALVES, 3)
    assert half.tolist() == [[[2, 0], [1, 1]]]
    assert quarter.tolist() == [[[2]]]


def test_regions_pool_one_by_one():
    label = torch.tensor([[[[1, 0], [N, 0]], [[0, 0], [N, N]], [[N, N], [N, N]]]])
    _, half = label_pyramid(label, HALVES[:2], 3)
    assert half.tolist() == [[[[1]], [[0]], [[N]]]]


@pytest.mark.parametrize("regions", [False, True], ids=["classes", "regions"])
def test_it_is_a_slow_loop_over_cells(regions):
    torch.manual_seed(0)
    strides, shape, classes = [(4, 4, 4), (1, 2, 2), (2, 4, 6)], (4, 8, 12), 3
    label = torch.randint(0, 2 if regions else classes, (2, *[classes] * regions, *shape))
    label = (label * (torch.rand(label.shape) < 0.3)).masked_fill(torch.rand(label.shape) < 0.8, IGNORE)
    full, *coarse = label_pyramid(label, strides, classes)
    assert full is label  # whatever the stride of level 0: there the logits are of the image's size
    for got, stride in zip(coarse, strides[1:], strict=True):
        seen = set()
        for cell in torch.cartesian_prod(*(torch.arange(n) for n in got.shape)):
            *lead, i, j, k = cell.tolist()
            a, b, c = stride
            values = (
                label[tuple(lead)][i * a : (i + 1) * a, j * b : (j + 1) * b, k * c : (k + 1) * c].flatten().tolist()
            )
            known = [v for v in values if v != IGNORE]
            front = sorted(v for v in known if v)
            expected = max(front, key=front.count) if front else 0 if known else IGNORE
            assert got[tuple(cell)] == expected
            seen.add(expected)
        assert len(seen) > 1
