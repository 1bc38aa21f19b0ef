"""What holds for every method. A new one is found and tested without being named here."""

import functools

import pytest
import torch

from halfmask import methods, testing
from halfmask.learning.clock import Clock
from halfmask.learning.minimize import Minimizer

SEGMENTERS = sorted(methods.names("semisupervised") | methods.names("adaptation"))


@pytest.fixture(params=[2, 3], ids=["2d", "3d"])
def dims(request):
    torch.manual_seed(0)
    return request.param


@pytest.mark.parametrize("check", testing.CHECKS, ids=lambda c: c.__name__.removeprefix("check_"))
@pytest.mark.parametrize("exclusive", [True, False], ids=["classes", "regions"])
@pytest.mark.parametrize("name", SEGMENTERS)
def test_conforms(name, check, dims, exclusive):
    check(methods.find(name), dims, exclusive)


@pytest.mark.parametrize("name", SEGMENTERS)
def test_conforms_in_half_precision(name):
    """Within one bf16 region a view without gradient must not leave its cast weights to one with gradient."""
    torch.manual_seed(0)
    with torch.autocast("cpu", torch.bfloat16):
        testing.check_losses_pull_and_state_moves(methods.find(name), 2)


@pytest.mark.parametrize("name", SEGMENTERS)
def test_learns(name):
    """A whole short training on images whose labels can be told voxel by voxel, a third of them by chance."""
    torch.manual_seed(0)
    method = testing.begun(methods.find(name)(testing.small(2)))
    minimize = Minimizer(method, method.optimizers(functools.partial(torch.optim.Adam, lr=0.03)))
    for step in range(60):
        method.step(testing.some_batch(2), minimize, Clock(step, 60))
    minimize.check()
    unseen = testing.some_batch(2, labeled=16).labeled
    right = method.eval().predict(unseen.image).argmax(1) == unseen.label
    assert right.float().mean() > 0.5


@pytest.mark.parametrize("name", SEGMENTERS)
def test_says_where_it_comes_from(name):
    testing.check_says_where_it_comes_from(methods.find(name))


def test_a_misspelt_method_is_met_with_a_suggestion():
    with pytest.raises(ValueError, match="did you mean 'mean_teacher'"):
        methods.find("mean_techer")
