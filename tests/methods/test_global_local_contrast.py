import copy

import pytest
import torch
import torch.nn.functional as F

from halfmask import testing
from halfmask.learning.clock import Clock
from halfmask.methods.pretraining import global_local_contrast
from halfmask.methods.pretraining.global_local_contrast import GlobalLocalContrast
from halfmask.networks.factory import Builder

FIRST, SECOND = Clock(10, 100), Clock(50, 100)


def made(dims=2, **settings):
    torch.manual_seed(0)
    return testing.begun(GlobalLocalContrast(testing.small(dims, norm="instance"), **settings))


def batch(dims=2, images=5, depths=None):
    """Images of three cases of 32 slices, whose first voxels lie at ``depths``."""
    torch.manual_seed(1)
    b = testing.some_batch(dims, labeled=0, unlabeled=images)
    if depths is None:
        return b
    place = b.unlabeled.place.clone()
    place[:, 0, -1] = torch.tensor(depths)
    return type(b)(b.labeled, b.unlabeled.with_(place=place))


@pytest.fixture
def plain(monkeypatch):
    """Views are the images themselves."""
    monkeypatch.setattr(global_local_contrast, "strong", lambda image: image)


def test_a_slice_lies_in_the_partition_of_its_case():
    method = made()
    method.begin({"a": (32, 9, 9), "b": (8, 9, 9), "c": (100, 9, 9)})
    images = batch(depths=[99, 7, 8, 2, 1]).unlabeled.with_(case=torch.tensor([2, 0, 0, 1, 1]))
    assert method.partition(images).tolist() == [3, 0, 1, 1, 0]


def test_a_volume_lies_where_its_middle_does_however_it_is_turned():
    method = made(3, partitions=8)
    b = batch(3, depths=[0, 4, 16, 23, -9])  # their middles: 8, 12, 24, 31, -1 slices from the edge
    assert method.partition(b.unlabeled).tolist() == [2, 3, 6, 7, 0]
    place = b.unlabeled.place.clone()
    place[:, 0, 0], place[:, 0, -1] = -1, place[:, 0, -1] + 15  # the same voxels, from the last slice to the first
    assert method.partition(b.unlabeled.with_(place=place)).tolist() == [2, 3, 6, 7, 0]


@pytest.mark.parametrize("positives", ["partitions", "subject"])
def test_global_is_a_slow_loop(plain, positives):
    """Partners: the other view, and views of images of the group; negatives: those of other groups; not partners."""
    method = made(positives=positives, crop=1.0)
    method.space = type(method.space)((1.0, 1.0), (False, False))  # so that crops are the images
    b = batch(depths=[0, 1, 9, 30, 31])
    group = {"partitions": [0, 0, 1, 3, 3], "subject": [0, 1, 2, 0, 1]}[positives] * 2
    with torch.no_grad():
        z = F.normalize(method.projection(method.student.embed(b.unlabeled.image)), dim=1).repeat(2, 1)
        s = (z @ z.T / 0.1).exp()
        terms = [
            -(s[a, c] / (s[a, c] + sum(s[a, n] for n in range(10) if group[n] != group[a]))).log()
            for a in range(10) for c in range(10) if a != c and group[a] == group[c]
        ]  # fmt: skip
    minimize = testing.minimizer(method)
    method.step(b, minimize, FIRST)
    torch.testing.assert_close(minimize.losses["contrast"], torch.stack(terms).mean(), rtol=1e-4, atol=1e-5)


def test_views_differ_in_intensities_and_in_the_first_half_in_what_they_show(monkeypatch):
    """Each view's change of intensities is a number of its own here."""
    changes = iter((100, 200, 300, 400))
    monkeypatch.setattr(global_local_contrast, "strong", lambda image: image + next(changes))
    method, b, seen = made(), batch(), []
    method.student.encoder.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    for clock in (FIRST, SECOND):
        method.step(b, testing.minimizer(method), clock)
    image = b.unlabeled.image
    first, second = (views.chunk(2) for views in seen)
    for view, change in zip(first, (100, 200), strict=True):
        assert view.mean().item() == pytest.approx(change, abs=5)
        assert not any(torch.allclose(a, b + change, atol=1e-3) for a, b in zip(view, image, strict=True))
    assert second[0].equal(image + 300) and second[1].equal(image + 400)


def test_each_half_moves_its_own():
    """First encoder and projection, then decoder and its projection, with no gradient for the encoder."""
    method = made()
    minimize = testing.minimizer(method)
    parts = lambda: {"encoder": method.student.encoder, "decoder": method.student.decoder,
                     "projection": method.projection, "local": method.local}  # fmt: skip
    for clock, expected in ((FIRST, {"encoder", "projection"}), (SECOND, {"decoder", "local"})):
        before = copy.deepcopy(parts())
        method.step(batch(), minimize, clock)
        pairs = {name: zip(part.parameters(), before[name].parameters(), strict=True) for name, part in parts().items()}
        assert {name for name, both in pairs.items() if any(not a.equal(b) for a, b in both)} == expected
    assert all(p.grad is None for p in method.student.encoder.parameters())


def test_local_compares_the_same_places_of_both_views(plain):
    """Equal views: at a low temperature each place finds itself, and none of an image's other places."""
    method = made(temperature=0.001)
    minimize = testing.minimizer(method)
    for seed in range(3):
        torch.manual_seed(seed)
        method.step(batch(), minimize, SECOND)
        assert minimize.losses["contrast"] < 1e-3


@pytest.mark.parametrize("dims", [2, 3])
def test_local_is_a_slow_loop_over_all_regions(plain, dims):
    """As many regions as there are, so that it does not matter which are drawn; 16 = 5 · 3 + 1 voxels a side."""
    method, b = made(dims, regions=10**6), batch(dims, images=2)
    with torch.no_grad():
        maps = method.student.decode(method.student.encode(b.unlabeled.image))[0]
        torch.manual_seed(5)
        minimize = testing.minimizer(copy.deepcopy(method))
        twin = copy.deepcopy(method)
    torch.manual_seed(5)
    starts = [int(torch.randint(2, ())) for _ in range(dims)]
    *voxels, region = method.local
    terms = []
    with torch.no_grad():
        for image in torch.nn.Sequential(*voxels)(maps):
            vectors = []
            for cell in torch.cartesian_prod(*[torch.arange(5)] * dims).tolist():
                box = tuple(slice(start + 3 * n, start + 3 * n + 3) for start, n in zip(starts, cell, strict=True))
                vectors.append((region.weight * image[(slice(None), *box)]).flatten(1).sum(1))
            z = F.normalize(torch.stack(vectors), dim=1)
            s = (z @ z.T / 0.1).exp()
            against = 2 * (s.sum(1) - s.diagonal())  # in both views
            terms += (s.diagonal() / (s.diagonal() + against)).log().neg().tolist()
    minimize = testing.minimizer(twin)
    torch.manual_seed(5)
    twin.step(b, minimize, SECOND)
    assert minimize.losses["contrast"].item() == pytest.approx(sum(terms) / len(terms), rel=1e-4)


def test_only_so_many_decoder_levels_learn():
    network = Builder("unet", channels=2, classes=3, dims=2, patch=(16, 16), settings={"width": 4, "norm": "instance"},
                      pooling=[(1, 1), (2, 2), (2, 2)], kernels=[(3, 3)] * 3)  # fmt: skip
    method = testing.begun(GlobalLocalContrast(network, blocks=1))
    fine, coarse = method.student.decoder.levels
    before = copy.deepcopy([fine, coarse])
    method.step(batch(), testing.minimizer(method), SECOND)
    same = [all(map(torch.equal, level.parameters(), old.parameters()))
            for level, old in zip((fine, coarse), before, strict=True)]  # fmt: skip
    assert same == [True, False]


def test_images_whose_partition_cannot_be_told_are_refused():
    flat = {"a": (1, 64, 64), "b": (1, 32, 32)}
    with pytest.raises(ValueError, match="crops of 1 slices from cases of at most 1 all lie in one partition"):
        made().begin(flat)
    with pytest.raises(ValueError, match="crops of 16 slices"):
        made(3).begin({"a": (16, 64, 64), "b": (9, 64, 64), "c": (16, 64, 64)})
    made(3).begin({"a": (16, 64, 64), "b": (29, 64, 64)})
    made(positives="subject").begin(flat)
    with pytest.raises(ValueError, match="--batch 2 or more"):
        made().step(batch(images=1), None, FIRST)


def test_maps_with_a_single_region_are_refused():
    network = Builder("unet", channels=2, classes=3, dims=2, patch=(16, 16), settings={"width": 4},
                      pooling=[(1, 1), (2, 2), (2, 2), (2, 2)], kernels=[(3, 3)] * 4)  # fmt: skip
    with pytest.raises(ValueError, match="maps of 4×4 hold a single region; take more blocks"):
        GlobalLocalContrast(network, blocks=1)
