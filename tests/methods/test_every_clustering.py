"""What holds for every method that makes clusters. A new one is found and tested without being named here."""

import pytest
import torch

from halfmask import methods, testing

NAMES = sorted(methods.names("clustering"))


@pytest.mark.parametrize("check", testing.CLUSTERING_CHECKS, ids=lambda c: c.__name__.removeprefix("check_"))
@pytest.mark.parametrize("dims", [2, 3], ids=["2d", "3d"])
@pytest.mark.parametrize("name", NAMES)
def test_conforms(name, check, dims):
    torch.manual_seed(0)
    check(methods.find(name), dims)


@pytest.mark.parametrize("name", NAMES)
def test_conforms_in_half_precision(name):
    torch.manual_seed(0)
    with torch.autocast("cpu", torch.bfloat16):
        testing.check_losses_pull_and_state_moves(methods.find(name), 2)


@pytest.mark.parametrize("name", NAMES)
def test_says_where_it_comes_from(name):
    testing.check_says_where_it_comes_from(methods.find(name))
