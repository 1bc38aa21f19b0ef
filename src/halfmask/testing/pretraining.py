"""What holds for every method that learns from images alone."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch

from halfmask.learning.method import Pretrainer
from halfmask.networks.backbone import Backbone
from halfmask.networks.factory import name_of, names
from halfmask.testing.checks import (
    check_losses_pull_and_state_moves,
    check_networks_are_apart,
    check_reproducible,
    seeded,
)
from halfmask.testing.given import Make, arranged, begun, small, some_batch


def check_keeps(make: Make, dims: int) -> None:
    """What others may start from goes over into a network of its name, whole if there is such, all of it."""
    method = begun(make(small(dims)))
    assert isinstance(method, Pretrainer)
    for name, parts in method.keeps.items():
        network = getattr(method, name)
        assert isinstance(network, Backbone), f"{name} is a {type(network).__name__}"
        state = {key: value for key, value in network.state_dict().items() if key.partition(".")[0] in parts}
        build, kind = small(dims), name_of(network)
        fresh = (build if kind in names() else build.encoder)(kind).state_dict()
        assert any(key.startswith("encoder.") for key in state), f"{name} keeps no encoder: {parts}"
        shapes = lambda tensors, keys: {key: tuple(tensors[key].shape) for key in keys if key in tensors}
        assert shapes(state, state) == shapes(fresh, state), f"{name} does not go over"
        assert network.embed(some_batch(dims).image).shape == (5, network.widths[-1])


def check_judges(make: Make, dims: int) -> None:
    """On held-out images it has a loss above 0, the same for the same random numbers; and it moves nothing."""
    method = arranged(make(small(dims)))
    assert isinstance(method, Pretrainer)
    if not method.held:
        return
    before, image = copy.deepcopy(method.state_dict()), some_batch(dims, unlabeled=6).unlabeled.image
    losses = []
    for _ in range(2):
        with seeded(), torch.no_grad():
            losses.append(method.eval().judge(image))
    assert losses[0] > 0 and losses[0].ndim == 0 and losses[0].equal(losses[1])
    assert all(value.equal(before[name]) for name, value in method.state_dict().items())


PRETRAINING_CHECKS: tuple[Callable[..., None], ...] = (
    check_losses_pull_and_state_moves,
    check_networks_are_apart,
    check_reproducible,
    check_keeps,
    check_judges,
)
