import dataclasses

import pytest
import torch

from halfmask import testing
from halfmask.learning.clock import Clock
from halfmask.methods.pretraining.simclr import SimCLR


def made(builder=None, **settings):
    torch.manual_seed(0)
    return testing.begun(SimCLR(builder or testing.small(2, norm="instance"), **settings))


def test_each_view_is_to_be_found_among_all_others():
    """A slow loop over the views of a step, image by image."""
    method, views = made(temperature=0.3), []
    batch, view = testing.batch_for(method, 2), method._view
    method._view = lambda image: views.append(view(image)) or views[-1]
    minimize = testing.minimizer(method)
    with torch.no_grad():
        torch.manual_seed(2)
        expected = [method._view(batch.unlabeled.image) for _ in range(2)]
        vectors = torch.stack([method.student.encode(one[None])[-1][0].mean((1, 2)) for one in torch.cat(expected)])
        z = method.projection((vectors - vectors.mean(0)) / (vectors.var(0, correction=0) + 1e-5).sqrt())
    torch.manual_seed(2)
    method.step(batch, minimize, Clock(1, 10))
    assert torch.equal(torch.cat(views[2:]), torch.cat(expected)) and not torch.equal(*expected)
    s = [[(torch.cosine_similarity(a, b, 0) / 0.3).exp() for b in z] for a in z]
    terms = [-(s[a][(a + 4) % 8] / sum(s[a][n] for n in range(8) if n != a)).log() for a in range(8)]
    torch.testing.assert_close(minimize.losses["contrast"], torch.stack(terms).mean(), rtol=1e-4, atol=1e-5)


def test_views_are_crops_that_are_mirrored_where_they_may_be():
    """A slope along each axis: its direction shows the flips, its range the crop, and no intensity turns it round."""
    method = made(dataclasses.replace(testing.small(2), flips=(False, True)), crop=0.25)
    slope = torch.linspace(-2, 2, testing.SIDE)
    image = torch.stack([slope[:, None].expand(-1, 16), slope.expand(16, -1)])[None].repeat(40, 1, 1, 1)
    view = method._view(image)
    down, across = view[:, 0].diff(dim=1).mean((1, 2)), view[:, 1].diff(dim=2).mean((1, 2))
    assert (down > 0).all() and (across > 0).any() and (across < 0).any()


def test_one_image_alone_has_none_to_be_told_from():
    method = made()
    batch = testing.some_batch(2, labeled=0, unlabeled=1)
    with pytest.raises(ValueError, match="--batch 2 or more"):
        method.step(batch, testing.minimizer(method), Clock(1, 10))
