"""Perturbed features: what changes, what stays, and how far."""

import pytest
import torch

from halfmask.augment import features

SHAPES = [(3, 64, 12, 10), (3, 64, 6, 4, 5)]


@pytest.fixture(params=SHAPES, ids=["2d", "3d"])
def x(request):
    torch.manual_seed(0)
    return torch.randn(*request.param)


def test_uniform_noise_is_relative_and_bounded(x):
    ratio = features.uniform_noise(x, 0.3) / x
    assert ratio.min() < 0.72 and ratio.max() > 1.28
    assert (ratio - 1).abs().max() <= 0.3 + 1e-5
    assert (ratio[0] - ratio[1]).abs().mean() > 0.1, "each image has its own"
    assert (features.uniform_noise(x, 0.3) != features.uniform_noise(x, 0.3)).any()
    assert features.uniform_noise(x, 0).equal(x)


def test_gaussian_noise_is_as_strong_in_weak_channels_as_in_strong_ones(x):
    scaled = x * torch.tensor([1e-3, 1, 1e3]).view(-1, *[1] * (x.ndim - 1))
    moved = (features.gaussian_noise(scaled, 0.2) - scaled).flatten(1).std(1) / scaled.flatten(1).std(1)
    torch.testing.assert_close(moved, torch.full((3,), 0.2), rtol=0.05, atol=0)
    flat = torch.ones_like(x).requires_grad_()
    features.gaussian_noise(flat).sum().backward()  # of a map that is the same everywhere
    assert flat.grad.isfinite().all()


def test_the_most_active_places_go_and_no_others(x):
    loud = x.clone()
    loud[0, :, 1, 2] = -50.0  # negative, and as active as can be
    out = features.drop_active(loud)
    assert not out[0, :, 1, 2].any()
    assert (out[0] == 0).all(0).sum() == (1 if x.ndim == 4 else x.shape[-1])
    same = (out == loud).all(1) | (out == 0).all(1)
    assert same.all(), "a place goes with all its channels, or stays as it was"
    assert (out[1:] == 0).any() and (out[1:] != 0).any()


def test_maps_go_as_a_whole_and_keep_their_mean(x):
    out = features.drop_maps(x)
    gone = (out == 0).flatten(2).all(2)
    assert 0.35 < gone.float().mean() < 0.65
    torch.testing.assert_close(out[~gone], 2 * x[~gone])


def test_each_of_the_four_is_drawn_at_some_time(x, monkeypatch):
    drawn = []
    monkeypatch.setattr(features, "ANY", tuple(lambda x, k=k: drawn.append(k) for k in range(len(features.ANY))))
    for _ in range(200):
        features.perturbed(x)
    assert len(features.ANY) == 4
    assert all(30 < drawn.count(k) < 70 for k in range(4))


def test_a_coarse_voxel_keeps_the_share_that_the_mask_keeps():
    x, keep = torch.full((1, 2, 2, 2), 4.0), torch.ones(1, 1, 4, 4, dtype=torch.bool)
    keep[..., :2, :2] = False
    keep[..., 2, 2] = False
    assert features.masked(x, keep)[0, 0].tolist() == [[0, 4], [4, 3]]


def test_the_box_lies_within_the_foreground_and_has_its_share():
    torch.manual_seed(0)
    inside = torch.zeros(200, 1, 20, 16, 8, dtype=torch.bool)
    inside[:, :, 5, 2, 1] = inside[:, :, 14, 11, 7] = True  # the box around has sides 10, 10 and 7
    inside[0] = False
    inside[1] = False
    inside[1, 0, 3, 3, 3] = True
    cut = ~features.object_cutout(inside)
    assert not cut[0].any()
    assert cut[1].sum() == 1 and cut[1, 0, 3, 3, 3]
    assert (cut[2:].flatten(1).sum(1) == 4 * 4 * 3).all()
    anywhere = cut[2:].any(0)[0]
    reached = [anywhere.any(dim=axes).nonzero().flatten().tolist() for axes in ((1, 2), (0, 2), (0, 1))]
    assert reached == [list(range(5, 15)), list(range(2, 12)), list(range(1, 8))]


def test_the_adversary_goes_further_than_noise_of_its_length(x):
    """Its distance grows with the first channel alone; so does where it goes, by its share of the norm."""
    weight = torch.zeros_like(x)
    weight[:, 0] = 1e-28  # however small, even if its square is 0
    levels = [x.clone().requires_grad_(), 1e3 * x[..., :2]]
    moved = features.adversarial(levels, lambda f: (f[0] * weight).sum() + 1e-12 * f[1].sum(), length=0.1)
    for level, there in zip(levels, moved, strict=True):
        torch.testing.assert_close(
            (there - level).flatten(1).norm(dim=1), 0.1 * level.flatten(1).norm(dim=1), rtol=1e-3, atol=0
        )
    torch.testing.assert_close((moved[0] - x)[:, 1:], torch.zeros_like(x[:, 1:]))
    assert (moved[0] - x)[:, 0].gt(0).all()
    moved[0].sum().backward()
    assert levels[0].grad.equal(torch.ones_like(x)), "the features pass the gradient, their displacement does not"
