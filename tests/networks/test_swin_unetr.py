import pytest
import torch
from torch import nn

from halfmask.networks.factory import make


def our_name(theirs):
    """MONAI's name of a weight as ours, after the table in the class's docstring; None if it is no weight of ours."""
    first, rest = theirs.split(".", 1)
    if theirs.endswith("relative_position_index"):
        return None
    if theirs.startswith("swinViT.patch_embed."):
        return theirs.replace("swinViT.patch_embed", "encoder.embed.0")
    if first == "swinViT":
        stage, inner = rest.removeprefix("layers").split(".0.", 1)
        return f"encoder.stages.{int(stage) - 1}.{inner}"
    if first.startswith("encoder"):
        skip = {1: 0, 2: 1, 3: 2, 4: 3, 10: 5}[int(first.removeprefix("encoder"))]
        return f"encoder.skips.{skip}.{rest}"
    if first.startswith("decoder"):
        return f"decoder.levels.{int(first.removeprefix('decoder')) - 1}.{rest}"
    return theirs.replace("out.conv.conv", "head")


@pytest.mark.parametrize("patch", [(64, 96), (32, 64, 32)], ids=["2d", "3d"])
def test_is_monais(patch):
    from monai.networks.nets import SwinUNETR

    torch.manual_seed(0)
    dims = len(patch)
    theirs = SwinUNETR(in_channels=2, out_channels=3, feature_size=12, window_size=3, spatial_dims=dims)
    for p in theirs.parameters():
        nn.init.normal_(p, std=0.3)
    ours = make("swin_unetr", channels=2, classes=3, dims=dims, patch=patch, feature_size=12, window=3)
    weights = {our_name(name): value for name, value in theirs.state_dict().items()}
    weights.pop(None)
    ours.load_state_dict(weights)
    x = torch.randn(2, 2, *patch)
    assert torch.equal(ours(x), theirs(x))


def test_latent_of_ssl2():
    """SSL²: features 12, patch and window 2, images of 96³: a latent of 3³ × 192."""
    with torch.device("meta"):
        net = make("swin_unetr", channels=1, classes=2, dims=3, patch=(96,) * 3, feature_size=12, token=2, window=2)
        assert net.encode(torch.zeros(1, 1, 96, 96, 96))[-1].shape == (1, 192, 3, 3, 3)


@pytest.mark.parametrize("token", [1, 4])
def test_tokens_of_another_size(token):
    sides = (8 * token, 16 * token)
    net = make(
        "swin_unetr", channels=1, classes=2, dims=2, patch=sides, feature_size=8, token=token, depths="1,1",
        heads="2,4", window=3,
    )  # fmt: skip
    assert [stride[0] for stride in net.strides] == [1, token, 2 * token, 4 * token]
    assert net(torch.zeros(1, 1, *sides)).shape == (1, 2, *sides)


def test_checkpointing_changes_nothing_but_memory():
    torch.manual_seed(0)
    plan = dict(channels=1, classes=2, dims=2, patch=(32, 64), feature_size=8, depths=(2, 1), heads=(2, 4), window=3)
    plain, thrifty = make("swin_unetr", **plan), make("swin_unetr", **plan, checkpointing=True)
    thrifty.load_state_dict(plain.state_dict())
    x = torch.randn(2, 1, 32, 64)
    for net in (plain, thrifty):
        net(x).square().sum().backward()
    for p, q in zip(plain.parameters(), thrifty.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad)


def test_blocks_are_skipped_ever_more_often():
    net = make(
        "swin_unetr", channels=1, classes=2, dims=2, patch=(64, 64), feature_size=12, path_dropout=0.3, depths=(2, 2),
        heads=(3, 6),
    )  # fmt: skip
    rates = [getattr(block.drop_path, "drop_prob", 0.0) for stage in net.encoder.stages for block in stage.blocks]
    assert rates == pytest.approx([0, 0.1, 0.2, 0.3])


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (
            dict(patch=(96, 100)),
            "divides 96×100 by 32×32, so each side must be a multiple of 32: pad or crop to 96×128",
        ),
        (dict(patch=(32, 32)), "leaves one voxel at the bottleneck and instance norm nothing to average"),
        (dict(feature_size=10), "feature_size = 10 cannot be shared equally by heads"),
        (dict(heads=(3, 6)), r"one number each per stage, for two stages or more, not \(2, 2, 2, 2\) and \(3, 6\)"),
        (dict(depths="2", heads="3"), "two stages or more"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused(change, error):
    with pytest.raises(ValueError, match=error):
        make("swin_unetr", **dict(channels=1, classes=2, dims=2, patch=(64, 64)) | change)
