import itertools

import pytest
import torch

from halfmask.learning.convergence import Convergence


def steps(rule, losses):
    """After how many losses it says that they have converged; None if never."""
    told = Convergence(rule)
    return next((n for n, loss in enumerate(losses, 1) if told(torch.tensor(float(loss)))), None)


def noisy(seed, slope=0.0, count=900):
    generator = torch.Generator().manual_seed(seed)
    return [1 - slope * step + 0.05 * torch.randn((), generator=generator).item() for step in range(count)]


def test_noise_alone_fulfills_the_papers_rule_at_once_and_the_other_no_sooner_than_it_may():
    soon = [steps("paper", noisy(seed)) for seed in range(20)]
    assert max(soon) < 60 and min(soon) >= 10
    later = [steps("windows", noisy(seed)) for seed in range(20)]
    assert min(later) == 500 and sum(n == 500 for n in later) > 15


def test_a_loss_that_falls_below_noise_goes_on():
    """3 % in a hundred steps, under noise of 5 % a step."""
    assert all(steps("paper", noisy(seed, slope=3e-4)) < 100 for seed in range(5))
    assert all(steps("windows", noisy(seed, slope=3e-4)) is None for seed in range(5))


def test_the_papers_rule_is_a_slow_loop():
    for seed in range(30):
        losses = [3 * loss for loss in noisy(seed)]
        mean = lambda n, losses=losses: sum(losses[n - 10 : n]) / 10
        expected = next(n for n in range(10, 900) if abs(losses[n - 1] - mean(n)) < 0.01 * abs(mean(n)))
        assert steps("paper", losses) == expected


def test_windows_are_the_last_two_hundred_steps_in_order():
    falling = [2.0] * 400 + [1.0] * 600
    assert steps("windows", falling) == 600  # at 500 the one window says 2, the other 1
    alternating = [1.0, 1.03] * 50 + [1.03, 1.0] * 50  # the same means, whatever the order within
    assert steps("windows", alternating * 5) == 500


@pytest.mark.parametrize("rule", ["paper", "windows"])
def test_it_goes_on_from_a_checkpoint(rule):
    losses = noisy(1, slope=2e-4, count=1500)
    for cut in (7, 123, 550):
        first, second = Convergence(rule), Convergence(rule)
        for loss in losses[:cut]:
            first(torch.tensor(loss))
        second.load_state_dict(first.state_dict())
        said = [[told(torch.tensor(loss)) for loss in losses[cut:]] for told in (first, second)]
        assert said[0] == said[1] and (rule == "windows" or any(said[0]))


def test_another_stage_begins_anew():
    told = Convergence("paper")
    assert any(told(torch.tensor(1.0)) for _ in range(10))
    told.restart()
    said = [told(torch.tensor(1.0)) for _ in range(10)]
    assert list(itertools.accumulate(said)) == [False] * 9 + [True]
