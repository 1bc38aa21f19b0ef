import pytest
import torch
from torch import nn

from halfmask.learning.average import average_of
from halfmask.networks.factory import make
from halfmask.networks.keys.source import Weights
from halfmask.training.transfer import networks_of, transfer, transfer_all


def net(name="unet", classes=2, width=4, **settings):
    return make(name, channels=1, classes=classes, dims=2, patch=(32, 32), width=width, **settings)


def test_all_goes_over_between_equals():
    source, own = net(norm="batch"), net(norm="batch")
    source.encoder.levels[0][0].norm.running_mean += 5
    told = transfer(source.state_dict(), own)
    for ours, theirs in zip(own.state_dict().values(), source.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)
    assert told.share == 1
    assert str(told) == f"{len(source.state_dict())} tensors, 100.0% of the parameters, went over"


def test_other_shapes_and_missing_names_are_told():
    source, own = net(classes=5), net()
    before = own.head.weight.detach().clone()
    state = {k: v for k, v in source.state_dict().items() if k != "encoder.levels.0.0.conv.bias"}
    told = transfer(state, own)
    assert torch.equal(own.head.weight, before), "what does not fit stays as it was"
    assert torch.equal(own.encoder.levels[0][0].conv.weight, source.encoder.levels[0][0].conv.weight)
    assert told.missing == ["encoder.levels.0.0.conv.bias"]
    assert "head.weight (5, 4, 1, 1) → (2, 4, 1, 1)" in str(told)
    assert "not in the source: encoder.levels.0.0.conv.bias" in str(told)
    count = sum(p.numel() for p in own.parameters())
    assert told.share == pytest.approx(1 - (4 + 2 * 4 + 2) / count)


def refused(source, own, match):
    before = {name: value.clone() for name, value in own.state_dict().items()}
    with pytest.raises(ValueError, match=match):
        transfer(source, own)
    assert all(torch.equal(before[name], value) for name, value in own.state_dict().items())


def test_what_fits_by_its_names_or_shapes_alone_is_refused():
    """A head's bias fits at any width, the decoder of a plain U-Net in a residual one, norms wherever they are."""
    same_kind = r"kernels of the encoder would go over; .*is it a network of the same kind\?"
    refused({"elsewhere.weight": torch.ones(1)}, net(), rf"only 0 of 8 {same_kind}")
    refused(net().state_dict(), net("residual_unet"), same_kind)
    refused(net().state_dict(), net("vnet"), same_kind)
    norms = {name: value for name, value in net(norm="batch").state_dict().items() if ".norm." in name}
    refused(norms, net(norm="batch"), same_kind)


@pytest.mark.parametrize(
    ("name", "setting", "there", "here"),
    [
        ("unet", "width", 4, 8),
        ("residual_unet", "width", 4, 8),
        ("vnet", "width", 4, 8),
        ("resnet_unet", "width", 4, 8),
        ("swin_unet", "embed", 12, 24),
        ("swin_unetr", "feature_size", 12, 24),
        ("unetr", "hidden_size", 12, 24),
    ],
)
def test_another_width_is_refused_with_the_setting_that_fits(name, setting, there, here):
    heads = {"unetr": {"heads": 3}}.get(name, {})
    source, own = (
        make(name, channels=1, classes=2, dims=2, patch=(64, 64), **heads, **{setting: size}) for size in (there, here)
    )
    shapes = rf"other shape: encoder\.\S+ \({there}.* → \({here}"
    told = rf"only \d+ of \d+ kernels of the encoder would go over; .*give --set network\.{setting}={there}$"
    refused(source.state_dict(), own, told)
    if name != "unetr":  # whose first names are of position embeddings
        refused(source.state_dict(), own, shapes)


def test_part_of_an_encoder_goes_over():
    """ResNet-18 into ResNet-34, and levels that are as wide here as there."""
    small, large = (net("resnet_unet", blocks=blocks) for blocks in ("2,2,2,2", "3,4,6,3"))
    encoder = {name: value for name, value in small.state_dict().items() if name.startswith("encoder.")}
    assert "encoder.layer1.2.conv1.weight" in transfer(encoder, large).missing
    told = transfer(large.state_dict(), small)
    assert "not used of the source: encoder.layer1.2.conv1.weight" in str(told)
    told = transfer(net(max_width=16).state_dict(), net())
    assert "encoder.levels.3.0.conv.weight (16, 16, 3, 3) → (32, 16, 3, 3)" in str(told)
    assert "encoder.levels.2.1.conv.weight" in told.taken


def test_counts_that_nobody_reads_are_not_told():
    source, own = net("resnet_unet", blocks="3,2,2,2"), net("resnet_unet", blocks="2,2,2,2")
    told = transfer(source.state_dict(), own, unused=["fc.num_batches_tracked"])
    assert told.unused and not any("num_batches_tracked" in name for name in told.unused)
    assert not any("num_batches_tracked" in name for name in transfer(own.state_dict(), source).missing)


def test_a_state_by_network():
    found = networks_of({"student.a.weight": torch.ones(1), "teacher.a.weight": torch.zeros(1), "table": torch.ones(1)})
    assert set(found) == {"student", "teacher"}
    assert set(found["student"]) == {"a.weight"}


def test_a_report_names_what_was_adapted_and_what_was_not_used():
    plan = dict(dims=2, patch=(16, 16), width=4)
    source, own = make("unet", channels=3, classes=5, **plan), make("unet", channels=1, classes=2, **plan)
    told = transfer(source.state_dict() | {f"fc.{k}": torch.ones(1) for k in range(6)}, own)
    assert "adapted: encoder.levels.0.0.conv.weight from 3 channels to 1" in str(told)
    last = "the last layer is new, as its shape differs: head.weight (5, 4, 1, 1) → (2, 4, 1, 1), head.bias (5,) → (2,)"
    assert last in str(told)
    assert "not used of the source: fc.0, fc.1, fc.2, fc.3 and 2 more" in str(told)
    assert "other shape" not in str(told)
    x = torch.randn(1, 1, 16, 16)
    torch.testing.assert_close(own.encode(x)[-1], source.encode(x.expand(-1, 3, -1, -1))[-1])


def test_2d_weights_are_refused_in_3d():
    """Their norms and biases would fit."""
    plan = dict(channels=1, classes=2, width=4)
    source, own = (make("unet", dims=dims, patch=(16,) * dims, **plan) for dims in (2, 3))
    refused(source.state_dict(), own, r"the weights are of a 2D network, this one is 3D: \S+ is \(")


def test_each_network_of_a_method_takes_its_share():
    """The first that learns all, further ones the encoder, averages all, and one of another kind nothing."""
    plan = dict(channels=1, classes=2, dims=2, patch=(16, 16), width=4)
    source = make("unet", **plan)
    method = nn.Module()
    method.student, method.peer, method.other = make("unet", **plan), make("unet", **plan), make("vnet", **plan)
    method.teacher = average_of(method.student)
    weights = Weights("somebody's U-Net", "unet", source.state_dict(), unused=("fc.weight",))
    told = transfer_all([weights], method, where="file")
    state = source.state_dict()
    equal = lambda net, part: [torch.equal(net.state_dict()[n], v) for n, v in state.items() if part in n]
    assert all(equal(method.student, "")) and all(equal(method.teacher, "")) and all(equal(method.peer, "encoder."))
    assert not all(equal(method.peer, "conv.weight"))
    assert told["other"] == "nothing went over, as it is a vnet"
    assert "not in the source: head.weight" in told["peer"]
    assert told["student"] == told["teacher"]
    expected = f"{len(state)} tensors, 100.0% of the parameters, went over; not used of the source: fc.weight"
    assert told["student"] == expected


def test_errors_say_where_the_weights_are_from():
    method = nn.Module()
    method.student = make("unet", channels=1, classes=2, dims=2, patch=(16, 16), width=4)
    with pytest.raises(ValueError, match=r"a/file\.pt: student: only 0 of .*is it a network of the same"):
        transfer_all([Weights("a network", None, {"fc.weight": torch.ones(1)})], method, where="a/file.pt")


def test_tensors_that_are_no_weights_are_refused_by_their_names_there():
    own = net()
    first, second = "encoder.levels.0.0.conv", "encoder.levels.0.1.conv"
    state = own.state_dict()
    state |= {
        f"{first}.weight": state[f"{first}.weight"].to_sparse(),
        f"{first}.bias": state[f"{first}.bias"].to(torch.int8),
        f"{second}.weight": state[f"{second}.weight"].to(torch.complex64),
        f"{second}.bias": state[f"{second}.bias"] / 0,
    }
    state[f"{second}.bias"][0] = torch.nan
    faults = (
        r"stem\.0\.weight is a sparse tensor; save it dense",
        r"0\.0\.conv\.bias holds int8, not floating-point numbers; save it as float32",
        r"0\.1\.conv\.weight holds complex64, not floating-point numbers; save it as float32",
        r"0\.1\.conv\.bias holds numbers that are not finite; take weights from before",
    )
    with pytest.raises(ValueError, match=r".*\n.*".join(faults)):
        transfer(state, own, origin={f"{first}.weight": "stem.0.weight"})
    half = {name: value.double() for name, value in net().state_dict().items()}
    assert transfer(half, own).share == 1, "other floats are converted"
    half["head.bias"][0] = 1e300
    refused(half, own, "head.bias holds numbers that are not finite")
    refused(half | {"head.bias": torch.empty(2, device="meta")}, own, "head.bias has a shape but no numbers")
