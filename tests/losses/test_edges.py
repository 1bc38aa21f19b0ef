import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from halfmask.losses.edges import FLAT, edge_mismatch, edge_strength


def loop_strength(x, axes):
    """(B, *spatial) of (B, C, *spatial)."""
    out = torch.zeros(len(x), *x.shape[2:])
    for b, *at in itertools.product(range(len(x)), *map(range, x.shape[2:])):
        total = 0.0
        for axis in (axis for axis, able in enumerate(axes) if able):
            following = list(at)
            following[axis] += 1
            if following[axis] < x.shape[2 + axis]:
                change = x[(b, slice(None), *following)] - x[(b, slice(None), *at)]
                total += change.square().sum().item()
        out[(b, *at)] = math.sqrt(total + FLAT**2) - FLAT
    return out


def loop_mismatch(clusters, image, window, axes, counts):
    p, y, known = loop_strength(clusters, axes), loop_strength(image, axes), counts[:, 0].clone()
    for b, *at in itertools.product(range(len(p)), *map(range, p.shape[1:])):
        for axis in (axis for axis, able in enumerate(axes) if able):
            following = list(at)
            following[axis] += 1
            if following[axis] < p.shape[1 + axis] and not counts[(b, 0, *following)]:
                known[(b, *at)] = False
    above = below = 0.0
    for b, *at in itertools.product(range(len(p)), *map(range, p.shape[1:])):
        if not known[(b, *at)]:
            continue
        half = [window // 2 if able else 0 for able in axes]
        box = (b, *(slice(max(0, i - h), i + h + 1) for i, h in zip(at, half, strict=True)))
        a, c = p[box][known[box]].double(), y[box][known[box]].double()
        spread = lambda v: math.sqrt(v.var(correction=0).item() + FLAT)
        correlation = ((a - a.mean()) * (c - c.mean())).mean().item() / spread(a) / spread(c)
        above += spread(c) * correlation
        below += spread(c)
    return 1 - above / below


@pytest.mark.parametrize(("shape", "axes"), [((6, 7), (True, True)), ((3, 5, 6), (False, True, True))])
def test_it_is_a_slow_loop(shape, axes):
    torch.manual_seed(0)
    clusters, image = torch.randn(2, 3, *shape).mul(2).softmax(1), torch.randn(2, 2, *shape)
    counts = torch.rand(2, 1, *shape) < 0.85
    torch.testing.assert_close(edge_strength(image, axes)[:, 0], loop_strength(image, axes))
    found = edge_mismatch(clusters, image, 3, axes, counts).item()
    assert found == pytest.approx(loop_mismatch(clusters, image, 3, axes, counts), abs=1e-4)
    everywhere = edge_mismatch(clusters, image, 3, axes).item()
    assert everywhere == pytest.approx(loop_mismatch(clusters, image, 3, axes, counts | True), abs=1e-4)


@pytest.mark.parametrize("dims", [2, 3])
def test_clusters_with_the_images_edges_are_better_than_all_others(dims):
    torch.manual_seed(0)
    axes, region = (True,) * dims, torch.zeros(1, *(12,) * dims).long()
    region[(0, *(slice(3, 8),) * dims)] = 1
    image = 3 * region[:, None].float() - 1
    onehot = lambda label: F.one_hot(label, 2).movedim(-1, 1).float()
    same = edge_mismatch(onehot(region), image, 5, axes)
    assert same.abs() < 1e-2
    assert edge_mismatch(onehot(1 - region), -2 * image, 5, axes) < 1e-2, "whichever cluster, however bright"
    moved = edge_mismatch(onehot(region.roll(1, 1)), image, 5, axes)
    none = edge_mismatch(torch.full((1, 2, *(12,) * dims), 0.5), image, 5, axes)
    assert same + 0.05 < moved < none - 0.05 and none.item() == pytest.approx(1, abs=1e-4)
    half, beside = (onehot((torch.arange(12) >= at).long().expand(region.shape)) for at in (5, 7))
    beside = edge_mismatch(beside, half, 5, axes)
    assert beside > none + 0.1, "edges where the image has none are worse than no edges"


def test_no_edge_is_seen_where_the_image_ends_or_between_thick_slices():
    image = torch.randn(1, 1, 4, 6, 6)
    counts = torch.ones(1, 1, 4, 6, 6).bool()
    counts[..., 4:] = False
    clusters = torch.randn(1, 2, 4, 6, 6).softmax(1)
    axes, other = (False, True, True), torch.where(counts, image, 9.0)
    assert edge_mismatch(clusters, image, 3, axes, counts).equal(edge_mismatch(clusters, other, 3, axes, counts))
    shifted = image + torch.arange(4.0).view(1, 1, 4, 1, 1)
    torch.testing.assert_close(edge_strength(shifted, axes), edge_strength(image, axes))


def test_its_gradient_goes_to_the_clusters_and_is_finite_where_they_are_flat():
    p, image = torch.zeros(1, 3, 6, 6, requires_grad=True), torch.randn(1, 1, 6, 6)
    edge_mismatch(p.softmax(1) + torch.rand(1, 3, 6, 6) * 1e-3, image, 3, (True, True)).backward()
    assert p.grad.isfinite().all() and p.grad.any()
    p.grad = None
    edge_mismatch(p.softmax(1), image, 3, (True, True)).backward()
    assert p.grad.isfinite().all()
