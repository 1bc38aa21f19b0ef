"""Spherical k-means against slow loops and scikit-learn."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from halfmask.learning.kmeans import ITERATIONS, kmeans, spread


@pytest.fixture
def bundles():
    """Directions about four axes, and which each is about."""
    torch.manual_seed(0)
    which = torch.randint(4, (300,))
    return F.normalize(torch.eye(6)[which] + 0.15 * torch.randn(300, 6), dim=1), which


def test_it_finds_what_scikit_learn_finds(bundles):
    vectors, which = bundles
    ours = (vectors @ kmeans(vectors, 4).T).argmax(1)
    theirs = KMeans(4, n_init=5, random_state=0).fit_predict(vectors.numpy())
    assert adjusted_rand_score(ours, theirs) == 1.0
    assert adjusted_rand_score(ours, which) == 1.0


def test_it_is_the_slow_loop(bundles):
    """Also where clusters overlap, so that it takes several rounds."""
    vectors = F.normalize(torch.randn(200, 3), dim=1)
    torch.manual_seed(3)
    found = kmeans(vectors, 5)
    torch.manual_seed(3)
    centers = spread(vectors, 5).numpy().astype(float)
    for _ in range(ITERATIONS):
        members: list[list[np.ndarray]] = [[] for _ in centers]
        for v in vectors.numpy():
            members[int(np.argmax([np.dot(v, c) for c in centers]))].append(v)
        centers = np.stack([np.sum(each, 0) / np.linalg.norm(np.sum(each, 0)) for each in members])
    np.testing.assert_allclose(found, centers, atol=1e-5)


def test_centers_start_apart():
    """All at one place but one: the second center is that one, for the others are at no distance."""
    vectors = torch.tensor([[1.0, 0.0]] * 50 + [[0.0, 1.0]])
    for seed in range(10):
        torch.manual_seed(seed)
        assert spread(vectors, 2).sum(0).tolist() == [1, 1]


def test_no_cluster_is_left_empty_where_vectors_differ(monkeypatch):
    vectors = F.normalize(torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]]), dim=1)
    monkeypatch.setattr("halfmask.learning.kmeans.spread", lambda v, k: torch.stack([v[0], v[0]]))
    assert (vectors @ kmeans(vectors, 2).T).argmax(1).unique().tolist() == [0, 1]
    assert kmeans(vectors[:1].expand(3, 2), 2).isfinite().all()  # and nothing breaks where they do not
