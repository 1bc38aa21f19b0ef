import pytest
import torch

from halfmask import testing
from halfmask.augment import mixing
from halfmask.learning.clock import Clock
from halfmask.learning.schedules import sigmoid_rampup
from halfmask.losses.segmentation import dice_ce
from halfmask.methods.semisupervised.mixup import Mixup


def made(exclusive=True, **settings):
    torch.manual_seed(0)
    return testing.arranged(Mixup(testing.small(2, norm="instance", exclusive=exclusive), **settings)).train()


def losses(method, batch):
    minimize = testing.minimizer(method)
    method.step(batch, minimize, Clock(500, 1000))
    return minimize.losses


def blend_with(monkeypatch, weight):
    """λ given, and each image blended with the next one."""

    def draw(like, _alpha):
        return mixing.Mixup(torch.full((len(like),), weight), torch.arange(len(like)).roll(-1))

    monkeypatch.setattr(mixing.Mixup, "draw", draw)


@pytest.mark.parametrize("exclusive", [True, False])
def test_all_of_itself_is_plain_supervision(monkeypatch, exclusive):
    blend_with(monkeypatch, 1.0)
    method, batch = made(exclusive), testing.some_batch(2, exclusive=exclusive)
    with torch.no_grad():
        plain = dice_ce(method.student(batch.labeled.image), batch.labeled.label)
    torch.testing.assert_close(losses(method, batch)["supervised"], plain)


def test_blended_images_are_told_as_their_labels_and_predictions_blended(monkeypatch):
    """Cross-entropy against a blend is the blend of both cross-entropies; Dice is a slow loop's."""
    blend_with(monkeypatch, 0.7)
    method, batch = made(weight=0.6), testing.some_batch(2, sparse=0.2)
    x, y, u = batch.labeled.image, batch.labeled.label, batch.unlabeled.image
    method.student.head.weight.data.mul_(0.2)  # no probability of 0
    with torch.no_grad():
        own = method.student(u).softmax(1)
        seen_x, seen_u = (method.student(0.7 * v + 0.3 * v.roll(-1, 0)).softmax(1) for v in (x, u))

    def slow(seen, target):
        """Target is a function of image and voxel: probabilities (K,), or None where not known."""
        both, either, terms = torch.zeros(3), torch.zeros(3), []
        for b, i, j in torch.cartesian_prod(*(torch.arange(n) for n in seen[:, 0].shape)).tolist():
            q, p = target(b, (b + 1) % len(seen), i, j), seen[b, :, i, j]
            if q is not None:
                both += p.minimum(q)
                either += p + q
                terms.append(-(q * p.log()).sum())
        return (1 - ((2 * both + 1e-5) / (either + 1e-5))[1:].mean() + torch.stack(terms).mean()) / 2

    def label(b, c, i, j):
        if 255 in (y[b, i, j], y[c, i, j]):
            return None
        return 0.7 * torch.eye(3)[y[b, i, j]] + 0.3 * torch.eye(3)[y[c, i, j]]

    told = losses(method, batch)
    torch.testing.assert_close(told["supervised"], slow(seen_x, label), rtol=1e-4, atol=1e-6)
    expected = (
        0.6 * sigmoid_rampup(0.5) * slow(seen_u, lambda b, c, i, j: 0.7 * own[b, :, i, j] + 0.3 * own[c, :, i, j])
    )
    torch.testing.assert_close(told["mixed_unlabeled"], expected, rtol=1e-4, atol=1e-6)
