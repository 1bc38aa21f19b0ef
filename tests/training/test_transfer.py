import pytest
import torch
from torch import nn

from halfmask.learning.average import average_of
from halfmask.networks.factory import make
from halfmask.networks.keys.source import Weights
from halfmask.training.transfer import networks_of, transfer, transfer_all


def net(classes=2, width=3):
    return nn.Sequential(nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), nn.Conv2d(width, classes, 1))


def test_all_goes_over_between_equals():
    source, own = net(), net()
    source[1].running_mean += 5
    told = transfer(source.state_dict(), own)
    for ours, theirs in zip(own.state_dict().values(), source.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)
    assert told.share == 1
    assert str(told) == "7 tensors, 100.0% of the parameters, went over".replace("7", str(len(source.state_dict())))


def test_other_shapes_and_missing_names_are_told():
    source, own = net(classes=5), net()
    before = own[2].weight.detach().clone()
    state = {k: v for k, v in source.state_dict().items() if k != "0.bias"}
    told = transfer(state, own)
    assert torch.equal(own[2].weight, before), "what does not fit stays as it was"
    assert torch.equal(own[0].weight, source[0].weight)
    assert told.missing == ["0.bias"]
    assert "2.weight (5, 3, 1, 1) → (2, 3, 1, 1)" in str(told)
    assert "not in the source: 0.bias" in str(told)
    taken = 27 + 3 + 3
    assert told.share == pytest.approx(taken / (taken + 3 + 8))


def test_nothing_that_fits_is_an_error():
    with pytest.raises(ValueError, match=r"no weight went over; .*Is it a network of the same kind\?"):
        transfer({"elsewhere.weight": torch.ones(1)}, net())


def test_buffers_alone_are_nothing():
    source = {k: v for k, v in net().state_dict().items() if "running" in k}
    with pytest.raises(ValueError, match="no weight went over"):
        transfer(source, net())


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
    before = {name: value.clone() for name, value in own.state_dict().items()}
    with pytest.raises(ValueError, match=r"the weights are of a 2D network, this one is 3D: \S+ is \("):
        transfer(source.state_dict(), own)
    assert all(torch.equal(before[name], value) for name, value in own.state_dict().items())


def test_each_network_of_a_method_takes_its_share():
    """The first that learns all, further ones the encoder, averages all, and one of another kind nothing."""
    plan = dict(channels=1, classes=2, dims=2, patch=(16, 16), width=4)
    source = make("unet", **plan)
    method = nn.Module()
    method.student, method.peer, method.other = make("unet", **plan), make("unet", **plan), make("vnet", **plan)
    method.teacher = average_of(method.student)
    weights = Weights("somebody's U-Net", "unet", source.state_dict(), unused=("fc.weight",))
    told = transfer_all(weights, method, where="file")
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
    with pytest.raises(ValueError, match=r"a/file\.pt: student: no weight went over; .*Is it a network of the same"):
        transfer_all(Weights("a network", None, {"fc.weight": torch.ones(1)}), method, where="a/file.pt")
