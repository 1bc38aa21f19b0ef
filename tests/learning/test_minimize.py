import functools

import pytest
import torch
from torch import nn

from halfmask.learning.minimize import Minimizer, NotFinite


class Pair(nn.Module):
    """A student and a critic, as small as they come."""

    def __init__(self):
        super().__init__()
        self.student, self.critic = nn.Linear(3, 2), nn.Linear(2, 1)


@pytest.fixture
def pair():
    torch.manual_seed(0)
    return Pair()


def minimizer(method, rate=0.1, **options):
    sgd = functools.partial(torch.optim.SGD, lr=rate)
    return Minimizer(method, {n: sgd(net.parameters()) for n, net in method.named_children()}, **options)


def weights(network):
    return torch.cat([p.detach().flatten() for p in network.parameters()]).clone()


def test_two_steps_are_those_of_a_plain_loop(pair):
    """The second step knows nothing of the first one's gradient."""
    import copy

    twin = copy.deepcopy(pair)
    minimize, plain = minimizer(pair), torch.optim.SGD(twin.student.parameters(), lr=0.1)
    for _ in range(3):
        x = torch.randn(4, 3)
        minimize(pair.student, first=pair.student(x).square().mean(), second=pair.student(x).sum())
        plain.zero_grad()
        (twin.student(x).square().mean() + twin.student(x).sum()).backward()
        plain.step()
    assert torch.equal(weights(pair.student), weights(twin.student))


def test_only_the_named_network_moves(pair):
    minimize, x = minimizer(pair), torch.randn(4, 3)
    student, critic = weights(pair.student), weights(pair.critic)
    minimize(pair.student, fooled=pair.critic(pair.student(x)).mean())
    assert not torch.equal(weights(pair.student), student)
    assert torch.equal(weights(pair.critic), critic)
    assert all(p.grad is None for p in pair.critic.parameters()), "the critic was given a gradient"

    student = weights(pair.student)
    minimize([pair.critic], seen=pair.critic(pair.student(x)).mean())
    assert torch.equal(weights(pair.student), student)
    assert not torch.equal(weights(pair.critic), critic)

    critic = weights(pair.critic)
    minimize([pair.student, pair.critic], both=pair.critic(pair.student(x)).square().mean())
    assert not torch.equal(weights(pair.student), student)
    assert not torch.equal(weights(pair.critic), critic)


def test_gradients_of_inputs_touch_no_weight(pair):
    minimize, x = minimizer(pair), torch.randn(4, 3, requires_grad=True)
    (toward,) = torch.autograd.grad(pair.student(x).square().sum(), x)
    assert toward.any()
    assert all(p.grad is None for p in pair.parameters())
    minimize(pair.student, loss=pair.student(x).square().sum())
    assert x.grad is None, "minimize left a gradient on the input"


def test_a_loss_without_gradient_is_named(pair):
    with torch.no_grad():
        blind = pair.student(torch.ones(1, 3)).sum()
    before = weights(pair.student)
    with pytest.raises(ValueError, match=r"loss 'consistency' has no gradient.*no_grad.*teacher"):
        minimizer(pair)(pair.student, supervised=pair.student(torch.ones(1, 3)).sum(), consistency=blind)
    assert torch.equal(weights(pair.student), before)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_broken_loss_is_found_by_name_even_some_steps_later(pair, value):
    minimize, x = minimizer(pair, rate=0.0), torch.randn(4, 3)
    fine = lambda: pair.student(x).square().mean()
    minimize(pair.student, supervised=fine(), cross=fine())
    minimize.check()
    minimize.step = 7
    minimize(pair.student, supervised=fine(), cross=fine() * value)
    minimize.step = 8
    minimize(pair.student, supervised=fine())  # broken by then, as the weights are; but not the cause
    with pytest.raises(NotFinite, match="the loss 'cross' is not finite") as told:
        minimize.check()
    assert told.value.step == 7
    minimize.check()  # told once


def test_clip_bounds_the_move_of_a_call(pair):
    before = weights(pair.student)
    minimizer(pair, rate=1.0, clip=0.5)(pair.student, loss=1000 * pair.student(torch.ones(1, 3)).sum())
    assert (weights(pair.student) - before).norm().item() == pytest.approx(0.5, rel=1e-4)


def test_moved_weights_are_used_in_the_same_autocast_region(pair):
    """Autocast caches the bf16 copy of a weight; unless it is cleared a step goes on with the old one."""
    minimize, x = minimizer(pair, rate=1.0), torch.randn(4, 3)
    with torch.autocast("cpu", torch.bfloat16):
        minimize(pair.student, loss=pair.student(x).square().mean())
        inside = pair.student(x)
    with torch.autocast("cpu", torch.bfloat16):
        afterwards = pair.student(x)
    assert torch.equal(inside, afterwards)


def test_figures_are_the_losses_and_what_was_logged(pair):
    minimize, x = minimizer(pair), torch.randn(4, 3)
    loss = pair.student(x).square().mean()
    minimize(pair.student, supervised=loss)
    minimize.log(kept=(x > 0).float().mean(), level=3)
    assert set(minimize.figures) == {"supervised", "kept", "level"}
    assert minimize.figures["supervised"] == loss
    assert not any(f.requires_grad for f in minimize.figures.values())
    assert float(minimize.figures["level"]) == 3
    assert set(minimize.losses) == {"supervised"}, "a logged figure is no loss"


def test_rates_are_scaled_but_where_a_group_keeps_its_own(pair):
    groups = [{"params": [pair.student.weight]}, {"params": [pair.student.bias], "scheduled": False, "lr": 0.5}]
    minimize = Minimizer(pair, {"student": torch.optim.SGD(groups, lr=0.2)})
    for factor in (0.5, 0.25):
        minimize.set_rate(factor)
        assert [g["lr"] for g in minimize.optimizers["student"].param_groups] == [0.2 * factor, 0.5]


def test_a_gradient_that_is_not_finite_is_found_though_its_loss_is():
    method = torch.nn.Module()
    method.a = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(method.a.weight)
    minimize = Minimizer(method, {"a": torch.optim.SGD(method.a.parameters(), lr=0.1)})
    minimize.step = 7
    minimize(method.a, root=method.a(torch.ones(1, 1)).sqrt().sum())  # 0, and a slope without end
    with pytest.raises(NotFinite, match="the gradient of root is not finite") as caught:
        minimize.check()
    assert caught.value.step == 7
