import copy

import pytest
import torch
from torch import nn

from halfmask import methods
from halfmask.networks.domain_norm import DomainNorm, per_domain, set_domain
from halfmask.testing.given import small

SIDES = ("source", "target")
NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


def pair(dims=2):
    """A norm by domain, and a batch norm for each side, all with the same scale and shift."""
    norm = NORM[dims](3)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return DomainNorm(copy.deepcopy(norm)), {side: copy.deepcopy(norm) for side in SIDES}


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_is_two_batch_norms_each_of_which_sees_one_domain(dims):
    torch.manual_seed(0)
    ours, theirs = pair(dims)
    level = {"source": 2.0, "target": -5.0}
    for _ in range(4):
        for side in SIDES:
            x = level[side] + torch.randn(2, 3, *(4,) * dims) * (1 if side == "source" else 3)
            set_domain(ours, side)
            torch.testing.assert_close(ours(x), theirs[side](x))
    for side, kept in (("source", "running"), ("target", "target")):
        torch.testing.assert_close(getattr(ours, f"{kept}_mean"), theirs[side].running_mean)
        torch.testing.assert_close(getattr(ours, f"{kept}_var"), theirs[side].running_var)
    x = torch.randn(2, 3, *(4,) * dims)
    said = {}
    for side in SIDES:
        set_domain(ours.eval(), side)
        said[side] = ours(x)
        torch.testing.assert_close(said[side], theirs[side].eval()(x))
    assert (said["source"] - said["target"]).abs().max() > 0.5, "else the sides could be mixed up"


def test_looking_changes_no_statistics():
    ours, _ = pair()
    before = copy.deepcopy(ours.eval().state_dict())
    for side in SIDES:
        set_domain(ours, side)
        ours(torch.randn(2, 3, 4, 4))
    assert all(torch.equal(value, before[name]) for name, value in ours.state_dict().items())


def test_weights_go_over_from_batch_norm_and_back():
    """By name, as a run starts from another; the target begins with the source's statistics."""
    norm = nn.BatchNorm2d(3)
    norm(5 + torch.randn(8, 3, 4, 4))
    ours = DomainNorm(copy.deepcopy(norm))
    assert torch.equal(ours.target_mean, norm.running_mean) and torch.equal(ours.target_var, norm.running_var)
    set_domain(ours, "source")
    ours(9 + torch.randn(8, 3, 4, 4))
    back = nn.BatchNorm2d(3)
    told = back.load_state_dict(ours.state_dict(), strict=False)
    assert not told.missing_keys and set(told.unexpected_keys) == {"target_mean", "target_var"}
    assert torch.equal(back.running_mean, ours.running_mean) and back.num_batches_tracked == 2
    told = ours.load_state_dict(norm.state_dict(), strict=False)
    assert set(told.missing_keys) == {"target_mean", "target_var"} and not told.unexpected_keys


def test_a_whole_method_is_told_the_domain():
    method = methods.find("mean_teacher")(small(2))
    for network in method.children():
        per_domain(network)
    norms = [m for m in method.modules() if isinstance(m, DomainNorm)]
    assert len(norms) > 10 and not any(isinstance(m, nn.BatchNorm2d) for m in method.modules())
    for side in SIDES:
        set_domain(method, side)
        assert {norm.side for norm in norms} == {side}


def test_without_batch_norm_there_are_no_statistics_to_have_twice():
    with pytest.raises(ValueError, match=r"no batch norm .*network\.norm=batch"):
        per_domain(small(2, norm="instance")())
