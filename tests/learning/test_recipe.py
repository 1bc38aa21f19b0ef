import pytest
import torch

from halfmask.learning.recipe import BASE, Recipe


def test_who_is_asked_later_wins():
    base, plan = Recipe("sgd", 0.1, steps=10), Recipe(labeled=2, unlabeled=2)
    method, user = Recipe("adam", rate=0.2, unlabeled=0), Recipe(rate=0.3)
    full = user.over(method).over(plan).over(base)
    assert full == Recipe("adam", 0.3, steps=10, labeled=2, unlabeled=0)


def test_nothing_and_zero_are_told_apart():
    assert Recipe(weight_decay=0.0, unlabeled=0).over(Recipe(weight_decay=1.0, unlabeled=4)).unlabeled == 0
    assert Recipe(weight_decay=0.0).over(BASE).weight_decay == 0
    assert Recipe().over(BASE) == BASE


@pytest.mark.parametrize(
    ("name", "kind"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_optimizers_are_as_asked(name, kind):
    optimizer = Recipe(name, 0.2, 0.9, 0.01).make_optimizer()([torch.nn.Parameter(torch.ones(1))])
    (group,) = optimizer.param_groups
    assert type(optimizer) is kind
    assert (group["lr"], group["weight_decay"]) == (0.2, 0.01)
    assert name != "sgd" or (group["momentum"], group["nesterov"]) == (0.9, True)


def test_sgd_without_momentum():
    (group,) = Recipe("sgd", 0.2, 0.0, 0.0).make_optimizer()([torch.nn.Parameter(torch.ones(1))]).param_groups
    assert (group["momentum"], group["nesterov"]) == (0, False)
