import pytest
import torch
from torch import nn

from halfmask.training.transfer import networks_of, transfer


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
