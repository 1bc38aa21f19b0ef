"""The losses of adversarial games, against plain formulas."""

import pytest
import torch
from torch import nn

from halfmask.losses.adversarial import calling, gradient_penalty, share_right

GAMES = ["cross_entropy", "least_squares", "wasserstein"]


@pytest.mark.parametrize("game", GAMES)
def test_each_side_pulls_scores_its_way(game):
    """Who wants to be called true wants a higher score, wherever the score is; the other a lower one."""
    scores = torch.tensor([-3.0, 0.0, 0.4, 4.0], requires_grad=True)
    wanted = {"cross_entropy": slice(0, 4), "least_squares": slice(0, 3), "wasserstein": slice(0, 4)}[game]
    up = torch.autograd.grad(calling(scores, True, game).sum(), scores)[0]
    down = torch.autograd.grad(calling(scores, False, game).sum(), scores)[0]
    assert (up[wanted] < 0).all()
    assert (down[{"least_squares": slice(2, 4)}.get(game, slice(0, 4))] > 0).all()


def test_formulas():
    scores = torch.tensor([-1.0, 0.5, 2.0])
    d = scores.sigmoid()
    torch.testing.assert_close(calling(scores, True), -d.log())
    torch.testing.assert_close(calling(scores, False), -(1 - d).log())
    torch.testing.assert_close(calling(scores, True, "least_squares"), (scores - 1) ** 2 / 2)
    torch.testing.assert_close(calling(scores, False, "least_squares"), scores**2 / 2)
    assert calling(scores, True, "wasserstein").equal(-scores)


def test_the_share_right_counts_both_sides_the_same():
    """The one true score is right, and one of three that are not; a Wasserstein critic's scores have no zero."""
    true, false = torch.tensor([1.0]), torch.tensor([-1.0, 0.3, 0.4])
    assert share_right(true, false).item() == pytest.approx((1 + 1 / 3) / 2)
    assert share_right(true, torch.tensor([0.3, 0.8, 0.9]), "least_squares").item() == pytest.approx((1 + 1 / 3) / 2)
    far = torch.tensor([100.0, 106.0])
    assert share_right(far, far - 2, "wasserstein") == 0.5 and share_right(far, far - 20, "wasserstein") == 1


def test_the_penalty_is_of_the_slope_image_by_image():
    """Of D(x) = w·x it is (‖w‖ − 1)² wherever one looks; of two inputs the slope is of both together."""
    torch.manual_seed(0)
    w, v = torch.randn(3, 4, 4), torch.randn(2, 2, 2)
    true, false = [torch.randn(2, 3, 4, 4), torch.randn(2, 2, 2, 2)], [torch.randn(5, 3, 4, 4), torch.randn(5, 2, 2, 2)]
    judge = lambda a, b: ((a * w).flatten(1).sum(1) + (b * v).flatten(1).sum(1))[:, None]
    expected = ((w.square().sum() + v.square().sum()).sqrt() - 1) ** 2
    torch.testing.assert_close(gradient_penalty(judge, true, false), expected)


def test_the_penalty_moves_a_critic_to_slope_one():
    torch.manual_seed(0)
    critic = nn.Linear(6, 1)
    optimizer = torch.optim.Adam(critic.parameters(), 0.05)
    judge = lambda x: critic(x.flatten(1))
    for _ in range(200):
        optimizer.zero_grad()
        gradient_penalty(judge, [torch.randn(4, 6, 1)], [torch.randn(4, 6, 1)]).backward()
        optimizer.step()
    assert critic.weight.norm().item() == pytest.approx(1, abs=0.02)
