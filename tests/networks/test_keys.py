"""Weights of networks elsewhere: the same arithmetic under their names gives the same numbers under ours."""

import pytest
import torch
from torch import nn

from halfmask.networks.factory import make, make_encoder
from halfmask.networks.keys import weights_in
from halfmask.training.transfer import transfer, transfer_all

CONV = {2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
NORM = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}
POOL = {2: nn.AvgPool2d, 3: nn.AvgPool3d}


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def shaken(net):
    for p in net.parameters():
        nn.init.normal_(p, std=0.3)
    return net


def given(content, net, **also):
    weights = weights_in(content, where="file.pt")
    return transfer(weights.state, net, origin=weights.origin, unused=weights.unused, **also)


# ---------------------------------------------------------------------------- nnU-Net, written anew with its names


class Conv(nn.Module):
    def __init__(self, dims, inputs, width, kernel=3, stride=1, bias=True, active=True):
        super().__init__()
        self.conv = CONV[dims](inputs, width, kernel, stride, (kernel - 1) // 2, bias=bias)
        self.norm = NORM[dims](width, affine=True)
        self.all_modules = nn.Sequential(self.conv, self.norm, *[nn.LeakyReLU(0.01)] * active)

    def forward(self, x):
        return self.all_modules(x)


class Convs(nn.Module):
    def __init__(self, count, dims, inputs, width, stride=1):
        super().__init__()
        rest = [Conv(dims, width, width) for _ in range(count - 1)]
        self.convs = nn.Sequential(Conv(dims, inputs, width, stride=stride), *rest)

    def forward(self, x):
        return self.convs(x)


class Residual(nn.Module):
    def __init__(self, dims, inputs, width, stride):
        super().__init__()
        self.conv1 = Conv(dims, inputs, width, stride=stride)
        self.conv2 = Conv(dims, width, width, active=False)
        pool = [POOL[dims](stride, stride)] if stride > 1 else []
        project = [Conv(dims, inputs, width, 1, bias=False, active=False)] if inputs != width else []
        self.skip = nn.Sequential(*pool, *project) if pool or project else nn.Identity()

    def forward(self, x):
        return nn.functional.leaky_relu(self.conv2(self.conv1(x)) + self.skip(x), 0.01)


class Blocks(nn.Module):
    def __init__(self, count, dims, inputs, width, stride):
        super().__init__()
        rest = [Residual(dims, width, width, 1) for _ in range(count - 1)]
        self.blocks = nn.Sequential(Residual(dims, inputs, width, stride), *rest)

    def forward(self, x):
        return self.blocks(x)


class NNUNet(nn.Module):
    """Levels of strides 1, 2, 4 and widths 4, 8, 16; a segmentation layer at each decoder level."""

    def __init__(self, dims, channels, classes, residual):
        super().__init__()
        widths = [4, 8, 16]
        self.encoder, self.decoder = nn.Module(), nn.Module()
        if residual:
            self.encoder.stem = Convs(1, dims, channels, 4)
            stages = [Blocks(1 + k, dims, widths[max(k - 1, 0)], widths[k], 1 + (k > 0)) for k in range(3)]
        else:
            inputs = [channels, 4, 8]
            stages = [nn.Sequential(Convs(2, dims, inputs[k], widths[k], 1 + (k > 0))) for k in range(3)]
        self.encoder.stages = nn.Sequential(*stages)
        self.decoder.encoder = self.encoder
        count = 1 if residual else 2
        self.decoder.stages = nn.ModuleList([Convs(count, dims, 16, 8), Convs(count, dims, 8, 4)])
        self.decoder.transpconvs = nn.ModuleList([TRANSPOSED[dims](16, 8, 2, 2), TRANSPOSED[dims](8, 4, 2, 2)])
        self.decoder.seg_layers = nn.ModuleList([CONV[dims](8, classes, 1), CONV[dims](4, classes, 1)])

    def forward(self, x):
        x = self.encoder.stem(x) if hasattr(self.encoder, "stem") else x
        skips = []
        for stage in self.encoder.stages:
            x = stage(x)
            skips.append(x)
        for j in range(2):
            x = self.decoder.stages[j](torch.cat([self.decoder.transpconvs[j](x), skips[1 - j]], 1))
        return self.decoder.seg_layers[1](x)


def ours_of(residual, dims, **change):
    plan = dict(channels=2, classes=3, dims=dims, patch=(8,) * dims, pooling=[(1,) * dims, *[(2,) * dims] * 2])
    plan |= dict(kernels=[(3,) * dims] * 3, width=4, blocks=(1, 2, 3) if residual else (2,))
    return make("residual_unet" if residual else "unet", **plan | change)


@pytest.mark.parametrize("dims", [2, 3], ids=["2d", "3d"])
@pytest.mark.parametrize("residual", [False, True], ids=["plain", "residual"])
def test_nnunets_weights_give_nnunets_logits(residual, dims):
    theirs, ours = shaken(NNUNet(dims, 2, 3, residual)), ours_of(residual, dims)
    state = theirs.state_dict()
    assert {"encoder.stages.0.0.convs.0.all_modules.0.weight", "encoder.stem.convs.0.all_modules.0.weight"} & set(state)
    assert any(name.startswith("decoder.encoder.stages.2") for name in state)
    told = given({"network_weights": state}, ours)
    assert told.share == 1
    assert told.unused == ["decoder.seg_layers.0.weight", "decoder.seg_layers.0.bias"]  # and no duplicate
    assert not told.missing
    x = torch.randn(2, 2, *(8,) * dims)
    torch.testing.assert_close(ours(x), theirs(x))


def test_a_deeper_nnunet_gives_its_finest_levels():
    """Its decoder is counted from a bottleneck that we do not have."""
    theirs = shaken(NNUNet(2, 2, 3, residual=False))
    ours = ours_of(False, 2, pooling=[(1, 1), (2, 2)], kernels=[(3, 3)] * 2)
    told = given(theirs.state_dict(), ours)
    assert told.share == 1
    assert torch.equal(ours.decoder.levels[0].up.weight, theirs.decoder.transpconvs[1].weight)
    assert torch.equal(ours.head.weight, theirs.decoder.seg_layers[1].weight)
    assert "encoder.stages.2.0.convs.0.conv.weight" in told.unused
    assert "decoder.transpconvs.0.weight" in told.unused


def test_wrappers_are_taken_off():
    theirs = NNUNet(2, 2, 3, residual=True)
    for wrap in ("module.", "_orig_mod.", "module._orig_mod.", "model."):
        state = {wrap + name: value for name, value in theirs.state_dict().items()}
        assert given({"state_dict": state}, ours_of(True, 2)).share == 1


# ---------------------------------------------------------------------------- nnssl


def nnssl(state, encoder="encoder", kind="ResEncL"):
    state = {name.replace("encoder.", f"{encoder}.", 1): v for name, v in state.items() if name.startswith("encoder.")}
    plan = {
        "architecture_plans": {"arch_class_name": kind, "arch_kwargs": None},
        "pretrain_num_input_channels": 1,
        "key_to_encoder": f"{encoder}.stages",
        "key_to_stem": f"{encoder}.stem",
        "keys_to_in_proj": [f"{encoder}.stem.convs.0.conv", f"{encoder}.stem.convs.0.all_modules.0"],
    }
    return {"network_weights": state, "nnssl_adaptation_plan": plan, "citations": ["someone"]}


@pytest.mark.parametrize("encoder", ["encoder", "online_encoder"])
def test_nnssl_tells_where_its_encoder_is(encoder):
    theirs, ours = shaken(NNUNet(2, 1, 1, residual=True)), ours_of(True, 2, channels=1)
    content = nnssl(theirs.state_dict(), encoder)
    content["network_weights"]["projector.weight"] = torch.ones(1)
    told = given(content, ours)
    assert weights_in(content, where="").title == "nnssl's residual U-Net"
    assert {name.split(".")[0] for name in told.missing} == {"decoder", "head"}
    assert told.unused == ["projector.weight"]
    x = torch.randn(1, 1, 8, 8)
    expected = theirs.encoder.stages(theirs.encoder.stem(x))
    torch.testing.assert_close(ours.encode(x)[-1], expected)


def test_the_layer_that_restores_images_is_no_head():
    content = nnssl({})
    content["network_weights"] = NNUNet(2, 1, 1, residual=True).state_dict()
    told = given(content, ours_of(True, 2, channels=1, classes=1))
    assert told.missing == ["head.weight", "head.bias"]
    assert "decoder.levels.0.up.weight" in told.taken


def test_nnssls_transformer_is_refused():
    content = nnssl({"encoder.blocks.0.attn.qkv.weight": torch.ones(1)}, "eva", kind="PrimusM")
    with pytest.raises(ValueError, match=r"f\.pt holds the weights of nnssl's PrimusM, .*its ResEncL goes into --net"):
        weights_in(content, where="f.pt")


# ---------------------------------------------------------------------------- MONAI's Swin UNETR


@pytest.mark.parametrize("patch", [(64, 96), (32, 64, 32)], ids=["2d", "3d"])
def test_monais_swin_unetr_gives_its_logits(patch):
    from monai.networks.nets import SwinUNETR

    plan = dict(feature_size=12, window=3)
    theirs = shaken(SwinUNETR(in_channels=2, out_channels=3, feature_size=12, window_size=3, spatial_dims=len(patch)))
    ours = make("swin_unetr", channels=2, classes=3, dims=len(patch), patch=patch, **plan)
    told = given({"state_dict": theirs.state_dict(), "epoch": 3}, ours)
    assert (told.share, told.unused, told.missing) == (1, [], [])
    x = torch.randn(1, 2, *patch)
    assert torch.equal(ours(x), theirs(x))


@pytest.mark.parametrize("prefix", ["module.", "module.swin_vit.", "swinViT."])
def test_monais_pretraining_gives_its_tokens(prefix):
    """As the file that MONAI publishes has them: perceptrons called fc1 and fc2, and heads beside."""
    from monai.networks.nets.swin_unetr import SwinTransformer

    patch = (32, 64, 32)
    theirs = shaken(SwinTransformer(1, 12, (3,) * 3, (2,) * 3, (2,) * 4, (3, 6, 12, 24), patch_norm=False))
    ours = make("swin_unetr", channels=1, classes=2, dims=3, patch=patch, feature_size=12, window=3)
    heads = {f"module.{name}": torch.ones(1) for name in ("rotation_head.weight", "convTrans3d.weight", "norm.bias")}
    old = lambda name: prefix + name.replace("linear1", "fc1").replace("linear2", "fc2")
    content = {"state_dict": heads | {old(name): value for name, value in theirs.state_dict().items()}}
    told = given(content, ours)
    assert told.unused == [name.removeprefix("module.") for name in heads]
    assert weights_in(content, where="").needs == {"merging": "repeated"}
    x = torch.randn(1, 1, *patch)
    y = ours.encoder.embed(x)
    for stage, expected in zip(ours.encoder.stages, theirs(x, normalize=False)[1:], strict=True):
        y = stage(y.contiguous())
        assert torch.equal(y, expected)


# ---------------------------------------------------------------------------- ImageNet


@pytest.mark.parametrize("patch", [(64, 64), (32, 32, 64)], ids=["2d", "3d"])
def test_resnets_features(patch):
    """MONAI's names are torchvision's."""
    from monai.networks.nets.resnet import ResNet

    dims, sizes = len(patch), ([2, 1, 1, 1], [8, 16, 32, 64])
    theirs = shaken(ResNet("basic", *sizes, dims, n_input_channels=3, conv1_t_stride=2, bias_downsample=False)).eval()
    ours = make("resnet_unet", channels=3, classes=2, dims=dims, patch=patch, width=8, blocks="2,1,1,1").eval()
    told = given(theirs.state_dict(), ours)
    assert told.unused == ["fc.weight", "fc.bias"]
    assert {name.split(".")[0] for name in told.missing} == {"decoder", "head"}
    x = torch.randn(1, 3, *patch)
    y = theirs.maxpool(theirs.act(theirs.bn1(theirs.conv1(x))))
    y = theirs.layer4(theirs.layer3(theirs.layer2(theirs.layer1(y))))
    assert torch.equal(ours.encode(x)[-1], y)


@pytest.mark.parametrize("deep", [False, True], ids=["resnet18", "resnet50"])
def test_a_resnet_goes_into_encoders_of_its_blocks_alone(deep):
    """With or without a decoder; blocks of the other kind would take some of it by chance."""
    from monai.networks.nets.resnet import ResNet

    block, blocks = ("bottleneck", [3, 4, 6, 3]) if deep else ("basic", [2, 2, 2, 2])
    theirs = shaken(ResNet(block, blocks, [4, 8, 16, 32], 2, n_input_channels=3, conv1_t_stride=2,
                           bias_downsample=False)).eval()  # fmt: skip
    weights, plan = weights_in(theirs.state_dict(), where=""), dict(channels=3, dims=2, patch=(64, 64))
    assert weights.title == ("a ResNet of bottlenecks" if deep else "a ResNet")
    method = nn.Module()
    method.alone = make_encoder("resnet50" if deep else "resnet18", **plan, width=4)
    method.unet = make("resnet_unet", **plan, classes=2, width=4, blocks=blocks, bottleneck=deep)
    method.other = make_encoder("resnet18" if deep else "resnet50", **plan, width=4)
    told = transfer_all([weights], method.eval(), where="f")
    assert told["other"] == f"nothing went over, as it is a {method.other.name}"
    assert "100.0% of the parameters, went over; not used of the source: fc.weight, fc.bias" in told["alone"]
    x = torch.randn(1, 3, 64, 64)
    y = theirs.maxpool(theirs.act(theirs.bn1(theirs.conv1(x))))
    y = theirs.layer4(theirs.layer3(theirs.layer2(theirs.layer1(y))))
    assert torch.equal(method.alone.encode(x)[-1], y)
    assert torch.equal(method.unet.encode(x)[-1], y)
    del method.alone, method.unet
    takes = r"resnet50 \(or resnet_unet --set network\.bottleneck=true\)" if deep else "resnet_unet or resnet18"
    with pytest.raises(ValueError, match=f"this run trains a {method.other.name}; give --network {takes}, or other"):
        transfer_all([weights], method, where="f")


class ViTBlock(nn.Module):
    """torchvision's EncoderBlock; ``old`` as its perceptron was called when its weights were published."""

    def __init__(self, width, heads, mlp, old):
        super().__init__()
        self.ln_1 = nn.LayerNorm(width, eps=1e-6)
        self.self_attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln_2 = nn.LayerNorm(width, eps=1e-6)
        names = ("linear_1", "linear_2") if old else ("0", "3")
        self.mlp = nn.ModuleDict({names[0]: nn.Linear(width, mlp), names[1]: nn.Linear(mlp, width)})

    def forward(self, x):
        y = self.ln_1(x)
        y, attention = self.self_attention(y, y, y, average_attn_weights=False)
        x = x + y
        first, second = self.mlp.values()
        return x + second(nn.functional.gelu(first(self.ln_2(x)))), attention


class TorchvisionsViT(nn.Module):
    def __init__(self, tokens, width, layers, heads, mlp, old):
        super().__init__()
        self.conv_proj = nn.Conv2d(3, width, 16, 16)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.encoder = nn.Module()
        self.encoder.pos_embedding = nn.Parameter(torch.zeros(1, 1 + tokens, width))
        names = (f"encoder_layer_{i}" for i in range(layers))
        self.encoder.layers = nn.ModuleDict({name: ViTBlock(width, heads, mlp, old) for name in names})
        self.encoder.ln = nn.LayerNorm(width, eps=1e-6)
        self.heads = nn.ModuleDict({"head": nn.Linear(width, 5)})

    def forward(self, x):
        """The class token's state, the others', and the attentions."""
        tokens = torch.cat([self.class_token.expand(len(x), -1, -1), self.conv_proj(x).flatten(2).transpose(1, 2)], 1)
        tokens, attentions = tokens + self.encoder.pos_embedding, []
        for block in self.encoder.layers.values():
            tokens, attention = block(tokens)
            attentions.append(attention)
        tokens = self.encoder.ln(tokens)
        return tokens[:, 0], tokens[:, 1:], attentions


@pytest.mark.parametrize("old", [False, True], ids=["now", "as published"])
def test_torchvisions_vit_gives_its_tokens_and_attentions(old):
    theirs = shaken(TorchvisionsViT(8, 24, 3, 4, 40, old))
    ours = make_encoder("vit_ti16", channels=3, dims=2, patch=(32, 64), hidden_size=24, layers=3, heads=4, mlp=40)
    told = given(theirs.state_dict(), ours)
    assert (told.share, told.unused, told.missing) == (1, ["heads.head.weight", "heads.head.bias"], [])
    assert weights_in(theirs.state_dict(), where="").title == "torchvision's ViT"
    x = torch.randn(2, 3, 32, 64)
    embedding, tokens, attentions = theirs(x)
    torch.testing.assert_close(ours.embed(x), embedding, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours.encode(x)[0].flatten(2).transpose(1, 2), tokens, rtol=1e-4, atol=1e-4)
    for found, expected in zip(ours.attentions(x), attentions, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def microsofts(net, *, timm):
    """The state of a Swin-Unet's encoder as in Microsoft's ImageNet files, or timm's, where stages merge first."""
    state = {"head.weight": torch.ones(5, 96), "layers.1.blocks.1.attn_mask": torch.ones(1)}
    for name, value in net.encoder.state_dict().items():
        for ours, theirs in {
            "embed.0.": "patch_embed.",
            "linear1": "fc1",
            "linear2": "fc2",
            "stages.": "layers.",
        }.items():
            name = name.replace(ours, theirs)
        if timm:
            for k in (2, 1, 0):
                name = name.replace(f"layers.{k}.downsample", f"layers.{k + 1}.downsample")
        state[name] = value
    more = {name: value for name, value in state.items() if name.startswith("layers.2.blocks.1.")}
    state |= {name.replace("blocks.1", "blocks.5"): value for name, value in more.items()}
    return state | {"layers.0.blocks.0.attn.relative_position_index": torch.ones(9, 9)}


@pytest.mark.parametrize("timm", [False, True], ids=["microsoft", "timm"])
def test_swins_blocks_start_encoder_and_decoder(timm):
    plan = dict(channels=3, classes=2, dims=2, patch=(96, 96), embed=12, window=3)
    source, ours = shaken(make("swin_unet", **plan)), make("swin_unet", **plan)
    state = microsofts(source, timm=timm)
    assert "layers.0.blocks.0.mlp.fc1.weight" in state and "patch_embed.norm.bias" in state and "norm.weight" in state
    assert ("layers.3.downsample.norm.weight" in state) == timm
    told = given({"model": state}, ours)
    assert told.unused[0].startswith("layers.2.blocks.5.") and told.unused[-1] == "head.weight"
    assert len(told.unused) == 14  # a block's tensors, and the head
    for name, value in source.encoder.state_dict().items():
        assert torch.equal(ours.encoder.state_dict()[name], value), name
    for k in range(3):
        blocks = source.encoder.stages[k].blocks.state_dict()
        for name, value in ours.decoder.levels[k].stage.blocks.state_dict().items():
            assert torch.equal(blocks[name], value)
    assert all(".blocks." not in name for name in told.missing)


# ---------------------------------------------------------------------------- what does not belong together


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("unet", "encoder.stages.0.0.convs.0.conv.weight"),
        ("residual_unet", "encoder.stages.0.blocks.0.conv1.conv.weight"),
        ("swin_unetr", "swinViT.layers1.0.blocks.0.mlp.linear1.weight"),
        ("swin_unetr", "layers1.0.blocks.0.mlp.fc1.weight"),
        ("swin_unet", "layers.0.blocks.0.attn.relative_position_bias_table"),
        ("resnet_unet or resnet18", "layer1.0.conv1.weight"),
        (r"resnet50 \(or resnet_unet --set network.bottleneck=true\)", "layer1.0.conv3.weight"),
        ("vit_b16 or vit_ti16", "encoder.layers.encoder_layer_0.ln_1.weight"),
        ("vit_b16 or vit_ti16", "cls_token"),
    ],
)
def test_another_kind_of_network_is_refused_with_the_one_that_takes_it(name, names):
    weights = weights_in({names: torch.ones(1)}, where="f")
    method = nn.Module()
    method.student = make("vnet", channels=1, classes=2, dims=2, patch=(16, 16), width=4)
    with pytest.raises(ValueError, match=rf"f holds the weights of .*, this run trains a vnet; give --network {name},"):
        transfer_all([weights], method, where="f")


def test_our_own_names_are_taken_as_they_are():
    source, ours = shaken(ours_of(False, 2)), ours_of(False, 2)
    told = given({"state_dict": source.state_dict()}, ours)
    assert str(told) == f"{len(source.state_dict())} tensors, 100.0% of the parameters, went over"


def test_what_holds_no_weights_is_told():
    with pytest.raises(ValueError, match=r"f holds no weights of a network, but 'epoch', 'best'"):
        weights_in({"epoch": 3, "best": 0.5}, where="f")


def test_two_networks_are_not_merged():
    """Names that would be one without their wrappers."""
    state = {f"{wrap}.encoder.weight": torch.ones(1) for wrap in ("net", "model")}
    told = r"f holds several networks: 'net\.encoder\.weight' and 'model\.encoder\.weight' are both 'encoder\.weight'"
    with pytest.raises(ValueError, match=told):
        weights_in(state, where="f")
    state = {f"{name}.encoder.weight": torch.ones(1) for name in ("student", "peer")}
    with pytest.raises(ValueError, match=r"f holds the weights of a whole method, with student, peer; give the run's"):
        weights_in(state, where="f")
