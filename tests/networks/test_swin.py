import pytest
import torch

from halfmask.networks.swin import PatchMerging, check_heads


def test_patch_merging_puts_all_neighbors_side_by_side():
    """Against MONAI's second version, whose neighbors have another order."""
    from monai.networks.nets.swin_unetr import PatchMergingV2

    for dims in (2, 3):
        ours, theirs = PatchMerging(dims, 3), PatchMergingV2(3, spatial_dims=dims)
        binary = sorted(ours.neighbors) if dims == 3 else [(0, 0), (1, 0), (0, 1), (1, 1)]
        order = torch.tensor([ours.neighbors.index(corner) for corner in binary])
        with torch.no_grad():
            weight = theirs.reduction.weight.unflatten(1, (-1, 3))
            ours.reduction.weight.unflatten(1, (-1, 3))[:, order] = weight
        x = torch.randn(2, *(4, 6, 8)[:dims], 3)
        torch.testing.assert_close(ours(x), theirs(x))


def test_patch_merging_can_repeat_neighbors_as_old_weights_need():
    x = torch.arange(8.0).reshape(1, 2, 2, 2, 1)  # the number of a neighbor is its place, in binary
    merging = PatchMerging(3, 1, "repeated")
    merging.norm = torch.nn.Identity()
    merging.reduction = torch.nn.Identity()
    assert merging(x).flatten().tolist() == [0, 4, 2, 1, 5, 2, 1, 7]
    assert PatchMerging(2, 1, "repeated").neighbors == PatchMerging(2, 1).neighbors


@pytest.mark.parametrize(
    ("width", "heads", "error"),
    [
        (10, (3, 6, 12, 24), "embed = 10 cannot be shared equally by heads = (3, 6, 12, 24): take a multiple of 3"),
        (8, (1, 2, 3), "a multiple of 3, e.g. 9"),
        (12, (8, 8), "a multiple of 8, e.g. 16"),
        (100, (12,), "embed = 100 cannot be shared equally by heads = 12: take a multiple of 12, e.g. 108"),
    ],
)
def test_heads_that_do_not_divide_are_told_what_would(width, heads, error):
    with pytest.raises(ValueError) as refused:  # noqa: PT011 (the text is compared below)
        check_heads("embed", width, heads)
    assert error in str(refused.value)
    check_heads("embed", int(error.split("e.g. ")[1]) if "e.g." in error else 12, heads)
