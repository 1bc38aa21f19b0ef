"""What holds for every method that makes clusters of voxels."""

from __future__ import annotations

from collections.abc import Callable

import torch

from halfmask.learning.method import Clusterer
from halfmask.testing.checks import (
    check_losses_pull_and_state_moves,
    check_networks_are_apart,
    check_reproducible,
)
from halfmask.testing.given import Make, arranged, small, some_batch


def check_clusters(make: Make, dims: int) -> None:
    """Soft assignments (B, K, *spatial) of the image's shape, float32, that sum to one; no cluster has none at all."""
    method = arranged(make(small(dims))).eval()
    assert isinstance(method, Clusterer)
    image = some_batch(dims).image
    with torch.no_grad():
        out = method.predict(image)
    assert out.shape == (len(image), method.clusters, *image.shape[2:]) and out.dtype == torch.float32
    assert out.min() >= 0
    torch.testing.assert_close(out.sum(1), torch.ones_like(out[:, 0]))
    assert out.amax((0, *range(2, out.ndim))).min() > 0


CLUSTERING_CHECKS: tuple[Callable[..., None], ...] = (
    check_losses_pull_and_state_moves,
    check_networks_are_apart,
    check_reproducible,
    check_clusters,
)
