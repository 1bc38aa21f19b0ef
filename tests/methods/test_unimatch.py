import torch

from halfmask import testing
from halfmask.augment.mixing import Box, CutMix
from halfmask.data.batch import IGNORE
from halfmask.learning.clock import Clock
from halfmask.losses.segmentation import dice
from halfmask.methods.semisupervised import unimatch


def figures(method, batch):
    minimize = testing.minimizer(method)
    method.step(batch, minimize, Clock(500, 1000))
    return minimize.figures


def made(**settings):
    torch.manual_seed(0)
    return testing.arranged(unimatch.UniMatch(testing.small(2, norm="instance"), **settings)).train()


def test_labels_follow_the_pasted_box(monkeypatch):
    """With views that change nothing but the box, each term is Dice against the labels cut and pasted alike."""
    mask = torch.zeros(3, 1, testing.SIDE, testing.SIDE, dtype=torch.bool)
    mask[..., :5, 3:9] = True
    mix = CutMix(Box(mask), torch.tensor([2, 0, 1]))
    monkeypatch.setattr(CutMix, "draw", lambda *_, **__: mix)
    monkeypatch.setattr(unimatch, "strong", lambda u: u)
    method, batch = made(threshold=0.6, drop=0.0), testing.some_batch(2)
    u = batch.unlabeled.image
    pasted = torch.where(mask, u[[2, 0, 1]], u)
    with torch.no_grad():
        weak, view = method.student(u), method.student(pasted)
        confidence, label = weak.softmax(1).max(1)
        label[confidence < 0.6] = IGNORE
        assert 0 < (label == IGNORE).float().mean() < 1
        cut = torch.where(mask[:, 0], label[[2, 0, 1]], label)
        expected = {"strong": dice(view, cut) / 2, "features": dice(weak, label) / 2}
    told = figures(method, batch)
    for name, value in expected.items():
        torch.testing.assert_close(told[name], value, rtol=1e-4, atol=1e-6)


def test_no_confident_voxel_no_loss_and_one_forward_for_all_views():
    method, calls = made(threshold=1.0), []
    method.threshold = 1.1
    method.student.encoder.register_forward_hook(lambda *_: calls.append(1))
    told = figures(method, testing.some_batch(2))
    assert told["kept"] == 0 and told["strong"] == 0 and told["features"] == 0
    assert len(calls) == 1


def test_the_third_view_lacks_features_at_every_level():
    method, batch = made(threshold=0.6, drop=1.0), testing.some_batch(2)
    u = batch.unlabeled.image
    with torch.no_grad():
        nothing = method.student.decode([torch.zeros_like(f) for f in method.student.encode(u)])
        confidence, label = method.student(u).softmax(1).max(1)
        label[confidence < 0.6] = IGNORE
        expected = dice(method.student.head(nothing[0]), label) / 2
    torch.testing.assert_close(figures(method, batch)["features"], expected, rtol=1e-4, atol=1e-6)
