import pytest
import torch

from halfmask.networks.factory import Builder, encoder_names, kind_of, make, make_encoder, names
from halfmask.networks.levels import halvings, kernels_of

PLAN = dict(channels=1, classes=2, dims=2, patch=(16, 16))


@pytest.mark.parametrize(
    ("patch", "most", "depth"),
    [((128, 128, 128), 5, 5), ((112, 112, 80), 5, 4), ((40, 56, 40), 5, 3), ((96, 96, 96), 3, 3),
     ((512, 512), 6, 6), ((240, 240), 6, 4), ((36, 36), 6, 2), ((8, 8), 6, 1)],
)  # fmt: skip
def test_halves_as_often_as_the_patch_allows(patch, most, depth):
    ones, *strides = halvings(patch, most)
    assert ones == (1,) * len(patch)
    assert strides == [(2,) * len(patch)] * depth


@pytest.mark.parametrize(
    ("patch", "hint"),
    [((100, 100), "2 times, .* 4: .* 16, e.g. 112×112"), ((40, 56, 38), "1 times, .* 3: .* 8, e.g. 40×56×40"),
     ((7, 64), "0 times, .* 0: .* 2, e.g. 8×64")],
)  # fmt: skip
def test_patch_that_halves_badly_is_refused(patch, hint):
    with pytest.raises(ValueError, match=hint):
        halvings(patch, 5)
    halvings(tuple(map(int, hint.split("e.g. ")[1].split("×"))), 5)


def test_kernels_leave_coarse_axes_alone_until_they_are_halved():
    """nnU-Net's plan for prostate MRI (0.62 × 0.62 × 3.6 mm, patch 20 × 320 × 256)."""
    pooling = ((1, 1, 1), (1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2), (1, 2, 2))
    assert kernels_of(pooling) == ((1, 3, 3), (1, 3, 3), *((3, 3, 3),) * 5)
    assert kernels_of(((1, 1, 1), (1, 2, 2))) == ((1, 3, 3), (3, 3, 3))
    assert kernels_of(((1, 1), (2, 2))) == ((3, 3), (3, 3))


def test_given_kernels_are_used():
    net = make("unet", **PLAN, pooling=[[1, 1], [2, 2]], kernels=[[1, 3], [3, 3]], width=4)
    assert [level[0].conv.kernel_size for level in net.encoder.levels] == [(1, 3), (3, 3)]
    assert net.decoder.levels[0].convs[0].conv.kernel_size == (1, 3)


def test_blocks_can_be_given_as_text():
    net = make("unet", **PLAN, width=4, blocks="1,3")
    assert [len(level) for level in net.encoder.levels] == [1, 3, 3]
    assert [len(level) for level in make("unet", **PLAN, width=4, blocks="3").encoder.levels] == [3, 3, 3]


def test_vnet_takes_the_first_levels_of_a_deeper_plan():
    pooling = ((1, 1, 1), (1, 2, 2), *((2, 2, 2),) * 4)
    with torch.device("meta"):
        net = make("vnet", channels=1, classes=2, dims=3, patch=(16, 32, 32), pooling=pooling)
    assert net.strides[-1] == (8, 16, 16)
    assert net.widths == (16, 32, 64, 128, 256)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (dict(name="residual_unt"), "no network is called 'residual_unt'; did you mean 'residual_unet'?"),
        (dict(widht=8), "network 'unet' has no setting 'widht'; did you mean 'width'?"),
        (dict(width="many"), "network 'unet': width = 'many' should be a valid integer"),
        (dict(width=0), "network 'unet': width = 0 should be greater than or equal to 1"),
        (dict(width="-4"), "width = '-4' should be greater than or equal to 1"),
        (dict(max_width="0"), "max_width = '0' should be greater than or equal to 1"),
        (dict(blocks="2,0"), "blocks = '2,0' should be greater than or equal to 1"),
        (dict(blocks="2,x"), "blocks = '2,x' should be a valid integer"),
        (dict(dropout="1"), "dropout = '1' should be less than 1"),
        (dict(name="vnet", width="0"), "network 'vnet': width = '0' should be greater"),
        (dict(name="vnet", dropout="-0.5"), "dropout = '-0.5' should be greater"),
        (dict(norm="group"), "'instance' or 'batch'"),
        (dict(patch=(16, 16, 16)), "a network of 2 dims needs a patch of 2 sides, not 16×16×16"),
        (dict(dims=4), "a network has 2 or 3 dims, not 4"),
        (dict(patch=(16, 18), pooling=((1, 1), (2, 2), (2, 2))), "multiple of 4: pad or crop to 16×20"),
        (dict(pooling=((2, 2), (2, 2))), "pooling must start with (1, 1)"),
        (dict(pooling=()), "pooling must start with (1, 1)"),
        (dict(pooling=((1, 1), (2, 2)), kernels=((3, 3),)), "kernels do not match"),
        (dict(pooling=((1, 1), (2, 2)), kernels=((3, 3), (2, 2))), "kernels must be odd"),
    ],
    ids=str,
)
def test_what_cannot_be_built_is_refused_by_make_and_by_builder(change, error):
    plan = dict(name="unet", **PLAN) | change
    with pytest.raises(ValueError) as made:  # noqa: PT011 (the text is compared below)
        make(**plan)
    assert error in str(made.value)
    geometry = {k: plan.pop(k) for k in ("name", *PLAN, "pooling", "kernels") if k in plan}
    with pytest.raises(ValueError) as built:  # noqa: PT011
        Builder(geometry.pop("name"), **geometry, settings=plan)
    assert str(built.value) == str(made.value)


def test_builder_makes_the_plans_network_and_others():
    before = torch.get_rng_state()
    builder = Builder("unet", **PLAN, settings={"width": "4", "norm": "batch"})
    assert torch.equal(torch.get_rng_state(), before)  # its own check draws nothing
    assert (builder.channels, builder.classes, builder.dims, builder.patch) == (1, 2, 2, (16, 16))

    net = builder()
    assert net.widths == (4, 8, 16)
    assert net.norm == "batch"
    assert {p.device.type for p in net.parameters()} == {"cpu"}
    assert any(not torch.equal(p, q) for p, q in zip(net.parameters(), builder().parameters(), strict=True))
    assert builder(classes=5).classes == 5
    assert builder(width=8).widths == (8, 16, 32)
    assert builder(patch=(32, 32)).strides[-1] == (8, 8)
    assert builder("vnet").widths == (16, 32, 64)  # settings belong to the plan's own architecture
    assert builder("vnet", width=2).widths == (2, 4, 8)
    with pytest.raises(ValueError, match="network 'vnet' has no setting 'max_width'"):
        builder("vnet", max_width=8)


def test_some_networks_only_encode():
    assert set(encoder_names()) - set(names()) == {"resnet18", "resnet50", "vit_b16", "vit_ti16"}
    assert set(names()) < set(encoder_names())
    plan = PLAN | dict(patch=(32, 32))
    builder = Builder("vit_b16", **plan, settings={"hidden_size": "32", "layers": "1"})
    net = builder.encoder()
    assert (net.name, net.widths, len(net.encoder.blocks)) == ("vit_b16", (32,), 1)
    assert builder.encoder("resnet18", width=8).widths == (8, 8, 16, 32, 64)
    assert builder.encoder("unet", width=4).name == "unet"
    refusal = "network 'vit_b16' has no decoder: it classifies and pre-trains; to segment take unetr"
    for build in (builder, lambda: make("vit_b16", **plan), lambda: builder(layers=2)):
        with pytest.raises(ValueError, match=refusal):
            build()
    with pytest.raises(ValueError, match=r"'resnet50' has no decoder: .* take resnet_unet$"):
        builder("resnet50")
    with pytest.raises(ValueError, match="no network is called 'vit_b61'; did you mean 'vit_b16'"):
        Builder("vit_b61", **plan)
    with pytest.raises(ValueError, match="network 'resnet18' has no setting 'layers'"):
        Builder("resnet18", **plan, settings={"layers": 3})
    with pytest.raises(ValueError, match="divides 40×32 by 32×32"):
        Builder("resnet18", **plan | dict(patch=(40, 32)))


def test_networks_of_a_kind_take_each_others_encoders():
    with torch.device("meta"):
        kinds = {name: kind_of(make_encoder(name, channels=1, dims=2, patch=(64, 64))) for name in encoder_names()}
        deep = make("resnet_unet", **PLAN | dict(patch=(64, 64)), bottleneck=True)
    others = {"resnet18": "resnet_unet", "vit_b16": "vit_b16", "vit_ti16": "vit_b16"}
    assert kinds == {name: others.get(name, name) for name in encoder_names()}
    assert kind_of(deep) == "resnet50"
