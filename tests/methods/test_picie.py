"""What is PiCIE's own."""

import functools

import pytest
import torch
import torch.nn.functional as F

from halfmask import testing
from halfmask.augment.spline import spline
from halfmask.data.batch import IGNORE, Batch, Images
from halfmask.learning.clock import Clock
from halfmask.learning.minimize import Minimizer
from halfmask.methods.clustering import picie
from halfmask.methods.clustering.picie import PiCIE, strides
from halfmask.networks import factory
from halfmask.networks.factory import Builder
from halfmask.study.smoke import NETWORKS


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture
def plain(monkeypatch):
    """No view differs from its image in intensities."""
    monkeypatch.setattr(picie, "strong", lambda image: image)


def builder(network="unet", side=32, **more):
    own = NETWORKS[network] | ({"width": 4} if network == "unet" else {})
    return Builder(network, channels=1, classes=2, dims=2, patch=(side, side), settings=own, **more)


def blobs(count, side=32):
    """Bright disks on dark ground, in noise: images (B, 1, side, side) and where the disks are."""
    at = torch.arange(side).float()
    center, radius = side / 4 + torch.rand(count, 2) * side / 2, side / 8 + torch.rand(count) * side / 8
    away = (at[None, :, None] - center[:, :1, None]) ** 2 + (at[None, None, :] - center[:, 1:, None]) ** 2
    inside = away < radius[:, None, None] ** 2
    return 2.0 * inside[:, None] - 0.5 + 0.5 * torch.randn(count, 1, side, side), inside


def some(images):
    return Images(images, None, torch.zeros(len(images), dtype=torch.long), None)


def batch(images):
    return Batch(some(images[:0]), some(images))


def test_it_tells_bright_disks_from_dark_ground_without_a_label():
    method = PiCIE(builder(), stride=2, features=32)
    minimize = Minimizer(method, method.optimizers(functools.partial(torch.optim.SGD, lr=0.05, momentum=0.9)))
    for step in range(40):
        torch.manual_seed(step)
        if step % 20 == 0:
            method.train().sweep(some(blobs(8)[0]) for _ in range(4))
        method.step(batch(blobs(8)[0]), minimize, Clock(step, 40))
    minimize.check()
    images, inside = blobs(16)
    with torch.no_grad():
        said = method.eval().predict(images).argmax(1) == 1
    overlap = [2 * (found & inside).sum() / (found.sum() + inside.sum()) for found in (said, ~said)]
    assert max(overlap) > 0.6  # by chance, or all in one cluster, 0.2


def test_equal_views_at_one_place_have_equal_losses(plain):
    method = testing.swept(PiCIE(testing.small(2), crop=1.0))
    minimize = testing.minimizer(method)
    method.step(testing.batch_for(method, 2), minimize, Clock(0, 1))
    assert minimize.losses["within"].equal(minimize.losses["cross"]) and minimize.losses["within"] > 0


def test_views_in_other_intensities_do_not():
    method = testing.swept(PiCIE(testing.small(2), crop=1.0))
    minimize = testing.minimizer(method)
    method.step(testing.batch_for(method, 2), minimize, Clock(0, 1))
    assert not minimize.losses["within"].equal(minimize.losses["cross"])


def test_features_are_moved_as_the_image_is(plain, monkeypatch):
    """Where the features are the image itself, those of both views are the same."""
    method = PiCIE(builder(flips=(True, False)), crop=0.3)
    monkeypatch.setattr(method, "_features", lambda network, image: F.avg_pool2d(image, 4))
    image = 3 * spline(torch.randn(8, 1, 5, 5), (32, 32))  # without detail finer than a few pixels
    views, geometry = method._views(image)
    one, other = method._maps(method.student, views, geometry)
    inside = geometry.inside()
    assert inside.float().mean() > 0.8
    apart = lambda moved: (moved - other)[inside].square().mean() / other[inside].var()
    assert apart(one) < 0.01 < 0.1 < apart(F.avg_pool2d(image, 4))


def test_labels_are_those_of_the_epochs_beginning_and_not_of_what_lies_outside(monkeypatch):
    method, seen, losses = testing.swept(PiCIE(testing.small(2))), [], picie.view_losses
    monkeypatch.setattr(picie, "view_losses", lambda *given: seen.append(given) or losses(*given))
    data = testing.batch_for(method, 2)
    for _ in range(2):
        torch.manual_seed(1)
        method.step(data, testing.minimizer(method), Clock(0, 2))
    (maps, labels, centers, _), (moved, same, *_) = seen
    assert all(a.equal(b) for a, b in zip(labels, same, strict=True)), "labels changed with the student"
    assert not maps[0].equal(moved[0])
    for m, label, own in zip(maps, labels, centers, strict=True):  # at first the student is what it was
        nearest = torch.einsum("bfhw,kf->bkhw", F.normalize(m, dim=1), own).argmax(1)
        assert ((label == nearest) | (label == IGNORE)).all() and (label != IGNORE).any()
    assert labels[0].eq(IGNORE).equal(labels[1].eq(IGNORE))


@pytest.mark.parametrize("network", factory.names())
def test_every_network_serves(network):
    """A step is finite and moves the decoder; a prediction is as large as the image."""
    method = PiCIE(builder(network, side=64)).train()
    images = blobs(4, 64)[0]
    method.sweep([some(images)])
    before = {key: value.clone() for key, value in method.student.state_dict().items()}
    minimize = testing.minimizer(method)
    method.step(batch(images), minimize, Clock(0, 1))
    minimize.check()
    still = [key for key, p in method.student.named_parameters() if p.grad is None]
    assert not still, f"nothing pulls on {still}"
    assert any(
        not value.equal(before[key]) for key, value in method.student.decoder.state_dict(prefix="decoder.").items()
    )
    with torch.no_grad():
        assert method.eval().predict(images).shape == (4, 2, 64, 64)


def test_strides_divide_the_patch_and_spare_thick_slices():
    of = lambda patch, free, **more: strides(
        Builder("unet", channels=1, classes=2, dims=len(patch), patch=patch, settings={"width": 4}, **more)(), 4, free
    )
    assert of((96, 96), (True, True)) == (4, 4)
    assert of((16, 36, 54), (False, True, True), pooling=[(1, 1, 1), (1, 2, 2)]) == (1, 4, 3)
    coarse = Builder("swin_unet", channels=1, classes=2, dims=2, patch=(64, 64), settings=NETWORKS["swin_unet"])()
    assert strides(coarse, 2, (True, True)) == coarse.strides[0]  # it has no finer maps
