import pytest
import torch
from torch import nn

from halfmask.networks.factory import make
from halfmask.networks.swin_unet import PatchExpand


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("factor", [2, 4])
def test_patch_expand_gives_each_voxel_a_block(dims, factor):
    from einops import rearrange

    expand = PatchExpand(dims, 6, 3, factor)
    nn.init.normal_(expand.norm.weight)
    x = torch.randn(2, 6, *(2, 3, 4)[:dims])
    pattern = {2: "b h w (p q c) -> b (h p) (w q) c", 3: "b d h w (p q r c) -> b (d p) (h q) (w r) c"}[dims]
    sides = dict(zip("pqr", (factor,) * dims, strict=False))
    slow = expand.norm(rearrange(expand.expand(x.movedim(1, -1)), pattern, **sides)).movedim(-1, 1)
    assert torch.equal(expand(x), slow)


def test_encoder_is_monais_swin_transformer():
    """Theirs merges once more after the last stage, and leaves the last norm to its caller."""
    from monai.networks.nets.swin_unetr import SwinTransformer

    torch.manual_seed(0)
    net = make("swin_unet", channels=3, classes=2, dims=2, patch=(96, 128), embed=12, window=3)
    theirs = SwinTransformer(3, 12, (3, 3), (4, 4), (2, 2, 2, 2), (3, 6, 12, 24), patch_norm=True, spatial_dims=2)
    for p in theirs.parameters():
        nn.init.normal_(p, std=0.3)
    net.encoder.embed[0].load_state_dict(theirs.patch_embed.state_dict())
    for k, stage in enumerate(net.encoder.stages):
        layer = getattr(theirs, f"layers{k + 1}")[0]
        weights = {n: v for n, v in layer.state_dict().items() if not n.endswith("relative_position_index")}
        if stage.downsample is None:
            weights = {n: v for n, v in weights.items() if not n.startswith("downsample")}
        stage.load_state_dict(weights)
    assert stage.downsample is None

    x = torch.randn(2, 3, 96, 128)
    features = net.encode(x)
    expected = theirs(x, normalize=False)  # embedding, then after each stage
    for k in range(3):
        assert torch.equal(features[k], expected[k])
    normalized = nn.functional.layer_norm(stage(expected[3]).movedim(1, -1), (96,)).movedim(-1, 1)
    assert torch.equal(features[3], normalized)


def test_windows_are_no_larger_than_the_patch_at_their_level():
    with torch.device("meta"):
        net = make("swin_unet", channels=1, classes=2, dims=2, patch=(224, 96))
    assert [stage.window_size for stage in net.encoder.stages] == [(7, 7), (7, 7), (7, 6), (7, 3)]
    assert [level.stage.window_size for level in net.decoder.levels] == [(7, 7), (7, 7), (7, 6)]


def test_decoder_mirrors_the_encoder():
    net = make("swin_unet", channels=1, classes=2, dims=2, patch=(32, 32), embed=8, token=2, depths=(3, 2, 1),
               heads=(2, 4, 8), path_dropout=0.5)  # fmt: skip
    for level, stage in zip(net.decoder.levels, net.encoder.stages, strict=False):
        shapes = [{n: v.shape for n, v in blocks.state_dict().items()} for blocks in (level.stage.blocks, stage.blocks)]
        assert shapes[0] == shapes[1]  # so the authors start them from the same weights
        rates = [[str(b.drop_path) for b in blocks] for blocks in (level.stage.blocks, stage.blocks)]
        assert rates[0] == rates[1]


@pytest.mark.parametrize(
    ("patch", "stages"),
    [((224, 224), 4), ((96, 224), 4), ((48, 80), 3), ((40, 56, 40), 2), ((32, 32), 3), ((16, 64, 64), 3), ((8, 8), 2)],
    ids=str,
)
def test_as_many_of_the_authors_stages_as_the_patch_can_be_divided_for(patch, stages):
    """And as leave more than one token: four would leave 1×1 of 32×32."""
    with torch.device("meta"):
        net = make("swin_unet", channels=1, classes=2, dims=len(patch), patch=patch)
    assert net.widths == (96, 192, 384, 768)[:stages]
    assert [stage.depth for stage in net.encoder.stages] == [2] * stages
    assert [stage.blocks[0].attn.num_heads for stage in net.encoder.stages] == [3, 6, 12, 24][:stages]


def test_depths_alone_say_how_many_stages():
    with torch.device("meta"):
        net = make("swin_unet", channels=1, classes=2, dims=2, patch=(64, 64), depths="1,2,1")
        assert net.widths == (96, 192, 384)
        assert make("swin_unet", channels=1, classes=2, dims=2, patch=(64, 64), heads="3,6").widths == (96, 192)
    with pytest.raises(ValueError, match="one number each per stage"):
        make("swin_unet", channels=1, classes=2, dims=2, patch=(64, 64), depths=(1,) * 5)


def test_patch_too_small_for_the_depth_is_refused():
    with pytest.raises(ValueError, match=r"divides 20×64 by 8×8, .* pad or crop to 24×64"):
        make("swin_unet", channels=1, classes=2, dims=2, patch=(20, 64))
    with pytest.raises(ValueError, match=r"divides 24×64 by 32×32, .* pad or crop to 32×64"):
        make("swin_unet", channels=1, classes=2, dims=2, patch=(24, 64), depths=(2, 2, 2, 2))
    with pytest.raises(ValueError, match=r"embed = 50 cannot be shared equally .* a multiple of 3, e.g. 51"):
        make("swin_unet", channels=1, classes=2, dims=2, patch=(64, 64), embed="50")
