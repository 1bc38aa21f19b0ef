"""What holds for every method that tells whole images apart."""

from __future__ import annotations

from collections.abc import Callable

import torch

from halfmask.learning.clock import Clock
from halfmask.learning.method import Classifier
from halfmask.testing.checks import (
    check_losses_pull_and_state_moves,
    check_networks_are_apart,
    check_reproducible,
)
from halfmask.testing.given import CLASSES, Make, arranged, minimizer, small, some_images


def check_classes(make: Make, dims: int, exclusive: bool = True) -> None:
    """Probabilities (B, K), float32, that sum to one if an image has one class; those of an image are its own."""
    method = arranged(make(small(dims, exclusive=exclusive))).eval()
    assert isinstance(method, Classifier)
    image = some_images(dims).labeled.image
    with torch.no_grad():
        out = method.predict(image)
        alone = torch.cat([method.predict(one[None]) for one in image])
    assert out.shape == (len(image), CLASSES) and out.dtype == torch.float32
    assert out.min() >= 0 and out.max() <= 1 and out.std(0).min() > 0
    torch.testing.assert_close(out, alone, rtol=1e-4, atol=1e-5)
    if exclusive:
        torch.testing.assert_close(out.sum(1), torch.ones(len(out)))


def check_unknown(make: Make, dims: int, exclusive: bool = True) -> None:
    """What nobody knows teaches nothing: of images whose class is unknown the loss is 0, and the step goes on."""
    method = arranged(make(small(dims, exclusive=exclusive)))
    minimize = minimizer(method)
    for unknown in (1.0, 0.5):
        method.step(some_images(dims, exclusive=exclusive, unknown=unknown), minimize, Clock(50, 100))
        minimize.check()
        losses = [loss for name, loss in minimize.losses.items() if name.startswith("supervised")]
        assert losses and all((loss == 0) == (unknown == 1.0) for loss in losses), minimize.losses
    assert all(p.isfinite().all() for p in method.parameters()), "a weight is not finite after unknown classes"


def check_counts(make: Make, dims: int, exclusive: bool = True) -> None:
    """Counts of each class, one of them of no image, leave all finite and are kept in the state."""
    method = make(small(dims, exclusive=exclusive))
    assert isinstance(method, Classifier)
    method.count(torch.tensor([5, 0, 1]) if exclusive else torch.tensor([[5, 6, 0], [1, 0, 6]]))
    assert all(value.isfinite().all() for value in method.state_dict().values() if value.is_floating_point())
    twin = make(small(dims, exclusive=exclusive))
    twin.load_state_dict(method.state_dict())
    batch, losses = some_images(dims, exclusive=exclusive), []
    for each in (method, twin):
        minimize = minimizer(each)
        each.step(batch, minimize, Clock(50, 100))
        losses.append(minimize.losses["supervised"])
    assert losses[0] == losses[1], "what was counted is lost with the checkpoint"


CLASSIFICATION_CHECKS: tuple[Callable[..., None], ...] = (
    check_losses_pull_and_state_moves,
    check_networks_are_apart,
    check_reproducible,
    check_classes,
    check_unknown,
    check_counts,
)
