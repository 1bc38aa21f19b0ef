import copy

import pytest
import torch

from halfmask import testing
from halfmask.augment.mixing import Box, CutMix
from halfmask.learning.clock import Clock
from halfmask.losses.segmentation import dice_ce
from halfmask.methods.semisupervised import weak_to_strong


def figures(method, batch):
    minimize = testing.minimizer(method)
    method.step(batch, minimize, Clock(500, 1000))
    return minimize.figures


def made(exclusive=True, **settings):
    torch.manual_seed(0)
    network = testing.small(2, norm="instance", exclusive=exclusive)
    return testing.arranged(weak_to_strong.WeakToStrong(network, **settings)).train()


@pytest.fixture
def plain(monkeypatch):
    """The strong view is the weak one, each image as much brighter as its number; each gets a box of the one before."""
    mask = torch.zeros(3, 1, testing.SIDE, testing.SIDE, dtype=torch.bool)
    mask[..., 2:9, 4:15] = True
    monkeypatch.setattr(CutMix, "draw", lambda *_, **__: CutMix(Box(mask), torch.tensor([2, 0, 1])))
    monkeypatch.setattr(weak_to_strong, "strong", brighter)


def brighter(u):
    return u + torch.arange(3.0).view(-1, 1, 1, 1)


@pytest.mark.parametrize("exclusive", [True, False], ids=["classes", "regions"])
def test_it_is_a_slow_loop(plain, exclusive):
    """The teacher labels the weak view, label and doubt follow the box, Dice is over the kept voxels, CE over all."""
    method, batch = made(exclusive, weight=0.6, threshold=0.8), testing.some_batch(2, exclusive=exclusive)
    for network in (method.student, method.teacher):
        for parameter in network.head.parameters():
            parameter.data.mul_(0.1)  # no probability of 0
    u, inside = batch.unlabeled.image, lambda i, j: 2 <= i < 9 and 4 <= j < 15
    box = torch.tensor([[inside(i, j) for j in range(testing.SIDE)] for i in range(testing.SIDE)])
    view = torch.stack([torch.where(box, brighter(u)[b - 1], brighter(u)[b]) for b in range(3)])
    squash = (lambda x: x.softmax(1)) if exclusive else torch.sigmoid
    with torch.no_grad():
        told, seen = squash(method.teacher(u)), squash(method.student(view))
    K, voxels, kept = testing.CLASSES, 0, 0
    both, either, total = torch.zeros(K), torch.zeros(K), 0.0
    for b, i, j in torch.cartesian_prod(*(torch.arange(n) for n in u[:, 0].shape)).tolist():
        q, p = told[b - 1 if box[i, j] else b, :, i, j], seen[b, :, i, j]
        if exclusive:
            voxels, sure = voxels + 1, bool(q.max() >= 0.8)
            if sure:
                y, kept = torch.eye(K)[q.argmax()], kept + 1
                both, either, total = both + p * y, either + p + y, total - p[q.argmax()].log()
        else:
            sure, y = torch.maximum(q, 1 - q) >= 0.8, (q > 0.5).float()
            voxels, kept = voxels + K, kept + int(sure.sum())
            both, either = both + sure * p * y, either + sure * (p + y)
            total -= (sure * torch.where(y > 0, p, 1 - p).log()).sum()
    assert 0.05 < kept / voxels < 0.95
    score = ((2 * both + 1e-5) / (either + 1e-5))[int(exclusive) :].mean()
    found = figures(method, batch)
    torch.testing.assert_close(found["pseudo"], 0.6 * (1 - score + total / voxels) / 2, rtol=1e-4, atol=1e-6)
    assert found["kept"].item() == pytest.approx(kept / voxels)


def test_voxels_under_the_threshold_teach_nothing():
    """Then the step is a supervised one, with the student's own gradient alone."""
    method, batch = made(), testing.some_batch(2)
    method.threshold = 1.1
    twin = copy.deepcopy(method.student)
    found = figures(method, batch)
    assert found["kept"] == 0 and found["pseudo"] == 0
    dice_ce(twin(batch.labeled.image), batch.labeled.label).backward()
    for ours, theirs in zip(method.student.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs - 0.1 * theirs.grad)


def test_the_teacher_labels_the_weak_view_without_gradient_and_predicts(monkeypatch):
    method, batch, seen = made(), testing.some_batch(2), []
    monkeypatch.setattr(weak_to_strong, "strong", lambda u: u + 0.5)
    hook = lambda _, given, out: seen.append((given[0], out.requires_grad))
    method.teacher.register_forward_hook(hook)
    before = copy.deepcopy(method.teacher.state_dict())
    figures(method, batch)
    ((image, slope),) = seen
    assert image.equal(batch.unlabeled.image) and not slope
    for name, value in method.teacher.state_dict().items():
        torch.testing.assert_close(value, 0.99 * before[name] + 0.01 * method.student.state_dict()[name])
    with torch.no_grad():
        torch.testing.assert_close(method.predict(image), method.teacher(image).softmax(1))


def test_as_many_images_as_asked_for_are_mixed(monkeypatch):
    drawn, draw = [], CutMix.draw
    monkeypatch.setattr(CutMix, "draw", lambda *a, **k: drawn.append(draw(*a, **k)) or drawn[-1])
    for share in (0.0, 1.0):
        figures(made(mixed=share), testing.some_batch(2))
    none, every = (mix.box.mask.flatten(1).any(1) for mix in drawn)
    assert not none.any() and every.all()
