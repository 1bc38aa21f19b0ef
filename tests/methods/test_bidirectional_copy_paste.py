import pytest
import torch

from halfmask import testing
from halfmask.augment.mixing import Box, CutMix
from halfmask.data.batch import IGNORE
from halfmask.learning.clock import Clock
from halfmask.learning.components import largest_components
from halfmask.losses.segmentation import dice_ce
from halfmask.methods.semisupervised.bidirectional_copy_paste import BidirectionalCopyPaste

LATE, EARLY = Clock(500, 1000), Clock(10, 1000)


def made(exclusive=True, **settings):
    torch.manual_seed(0)
    network = testing.small(2, norm="instance", exclusive=exclusive)
    return testing.arranged(BidirectionalCopyPaste(network, **settings)).train()


def losses(method, batch, clock=LATE):
    minimize = testing.minimizer(method)
    method.step(batch, minimize, clock)
    return minimize.losses


@pytest.fixture
def box(monkeypatch):
    """The same box in all pairs."""
    mask = torch.zeros(1, 1, testing.SIDE, testing.SIDE, dtype=torch.bool)
    mask[..., 3:14, 2:12] = True
    monkeypatch.setattr(Box, "draw", lambda like, *_, **__: Box(mask.expand(len(like), -1, -1, -1)))
    return mask


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize(("labeled", "unlabeled", "clean"), [(2, 3, False), (3, 1, True)])
def test_labels_follow_the_box_both_ways(box, labeled, unlabeled, clean, exclusive):
    """In the labeled patch its label, ignored where it was; outside what the teacher says, at half the weight."""
    method = made(exclusive, largest_component=clean)
    batch = testing.some_batch(2, exclusive=exclusive, sparse=0.3, labeled=labeled, unlabeled=unlabeled)
    pairs = range(max(labeled, unlabeled))
    repeat = lambda t: torch.stack([t[i % len(t)] for i in pairs])
    x, y, u = (repeat(t) for t in (batch.labeled.image, batch.labeled.label, batch.unlabeled.image))
    inside = box[0, 0]
    with torch.no_grad():
        told = repeat(method.teacher(batch.unlabeled.image))
        pseudo = told.argmax(1) if exclusive else (told > 0).long()
        if clean:
            cleaned = largest_components(pseudo, testing.CLASSES, exclusive=exclusive)
            assert not cleaned.equal(pseudo)
            pseudo = cleaned
        supervised, guessed = 0.0, 0.0
        for patch, known in ((x, inside), (u, ~inside)):
            image = torch.where(inside, patch, u if patch is x else x)
            label, guess = y.clone(), pseudo.clone()
            label[..., ~known] = IGNORE
            guess[..., known] = IGNORE
            supervised += dice_ce(method.student(image), label)
            guessed += dice_ce(method.student(image), guess)
    found = losses(method, batch)
    torch.testing.assert_close(found["supervised_mixed"], supervised, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found["pseudo"], 0.5 * guessed, rtol=1e-4, atol=1e-6)


def test_at_first_labeled_images_are_mixed_among_themselves(monkeypatch, box):
    mix = CutMix(Box(box.expand(2, -1, -1, -1)), torch.tensor([1, 0]))
    monkeypatch.setattr(CutMix, "draw", lambda *_, **__: mix)
    method, batch = made(), testing.some_batch(2)
    x, y, before = batch.labeled.image, batch.labeled.label, method.teacher.head.weight.clone()
    with torch.no_grad():
        seen = method.student(torch.where(box, x.flip(0), x))
    (told,) = losses(method, batch, EARLY).items()
    assert told[0] == "supervised_mixed"
    torch.testing.assert_close(told[1], dice_ce(seen, torch.where(box[0], y.flip(0), y)))
    assert not method.teacher.head.weight.equal(before)


def test_the_box_is_two_thirds_of_each_side(monkeypatch):
    """Other than in cutmix at large, in all images alike."""
    masks, draw = [], Box.draw
    monkeypatch.setattr(Box, "draw", lambda *a, **k: masks.append(draw(*a, **k)) or masks[-1])
    for clock in (LATE, EARLY):
        losses(made(), testing.some_batch(2), clock)
    for mask in (m.mask for m in masks):
        assert mask.any(2).sum(-1).unique() == mask.any(3).sum(-1).unique() == round(testing.SIDE * 2 / 3)


@pytest.mark.parametrize("who", ["student", "teacher"])
def test_the_student_predicts_unless_the_teacher_is_to(who):
    image, method = testing.some_batch(2).image, made(**({} if who == "student" else {"predict_with": who}))
    with torch.no_grad():
        torch.testing.assert_close(method.predict(image), getattr(method, who)(image).softmax(1))
        assert not method.student(image).equal(method.teacher(image))
