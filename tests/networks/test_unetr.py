import pytest
import torch
from torch import nn

from halfmask.networks.factory import make


def our_name(theirs):
    """MONAI's name of a weight as ours, after the table in the class's docstring; None if it is no weight of ours."""
    first, rest = theirs.split(".", 1)
    if "cross_attn" in theirs:
        return None
    if first == "vit":
        return "encoder." + rest.replace("patch_embedding.", "embed.", 1)
    if first.startswith("encoder"):
        return f"encoder.skips.{int(first.removeprefix('encoder')) - 1}.{rest}"
    if first.startswith("decoder"):
        return f"decoder.levels.{int(first.removeprefix('decoder')) - 2}.{rest}"
    return theirs.replace("out.conv.conv", "head")


@pytest.mark.parametrize("patch", [(32, 48), (16, 48, 32)], ids=["2d", "3d"])
def test_is_monais(patch):
    from monai.networks.nets import UNETR

    torch.manual_seed(0)
    sizes = dict(feature_size=4, hidden_size=24)
    theirs = UNETR(2, 3, patch, **sizes, mlp_dim=32, num_heads=4, spatial_dims=len(patch))
    for p in theirs.parameters():
        nn.init.normal_(p, std=0.3)
    ours = make("unetr", channels=2, classes=3, dims=len(patch), patch=patch, **sizes, mlp=32, heads=4)
    weights = {our_name(name): value for name, value in theirs.state_dict().items()}
    weights.pop(None)
    ours.load_state_dict(weights)
    x = torch.randn(2, 2, *patch)
    assert torch.equal(ours(x), theirs(x))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (dict(hidden_size=100), "hidden_size = 100 cannot be shared equally by heads = 12: .* of 12, e.g. 108"),
        (dict(patch=(40, 32)), "divides 40×32 by 16×16, so each side must be a multiple of 16: pad or crop to 48×32"),
        (dict(layers="3"), "layers = '3' should be greater than or equal to 4"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused(change, error):
    with pytest.raises(ValueError, match=error):
        make("unetr", **dict(channels=1, classes=2, dims=2, patch=(32, 32)) | change)


def test_takes_images_of_the_training_patch_alone():
    net = make("unetr", channels=1, classes=2, dims=2, patch=(32, 48), hidden_size=24, mlp=8, layers=4)
    assert net(torch.zeros(1, 1, 32, 48)).shape == (1, 2, 32, 48)
    with pytest.raises(ValueError, match="positions in images of 32×48, its training patch, not 48×32: crop or pad"):
        net(torch.zeros(1, 1, 48, 32))
