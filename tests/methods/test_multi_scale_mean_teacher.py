import pytest
import torch

from halfmask import testing
from halfmask.learning.clock import Clock
from halfmask.learning.schedules import sigmoid_rampup
from halfmask.losses.pyramid import label_pyramid
from halfmask.losses.segmentation import dice_ce
from halfmask.methods.semisupervised import multi_scale_mean_teacher
from halfmask.methods.semisupervised.multi_scale_mean_teacher import MultiScaleMeanTeacher


def made(**settings):
    torch.manual_seed(0)
    return testing.arranged(MultiScaleMeanTeacher(testing.small(2, norm="instance"), **settings)).train()


def test_both_losses_are_means_over_the_levels():
    method, batch = made(noise=0.0, weight=0.7), testing.some_batch(2, sparse=0.5)

    def logits(network, heads, image):
        fine, coarse = network.decode(network.encode(image))
        return [network.head(fine), heads[0](coarse)]

    consistency = 0.0
    with torch.no_grad():
        labels = label_pyramid(batch.labeled.label, [(1, 1), (2, 2)], testing.CLASSES)
        ours = logits(method.student, method.heads, batch.labeled.image)
        supervised = sum(dice_ce(f, y) for f, y in zip(ours, labels, strict=True)) / 2
        u = batch.unlabeled.image
        for f, t in zip(
            logits(method.student, method.heads, u), logits(method.teacher, method.teacher_heads, u), strict=True
        ):
            p, q = f.softmax(1), t.softmax(1)
            voxels = [(b, i, j) for b in range(len(p)) for i in range(p.shape[2]) for j in range(p.shape[3])]
            errors = [(p[b, :, i, j] - q[b, :, i, j]).square().mean().item() for b, i, j in voxels]
            consistency += sum(errors) / len(errors) / 2

    minimize = testing.minimizer(method)
    method.step(batch, minimize, Clock(500, 1000))
    assert minimize.losses["supervised"].item() == pytest.approx(supervised.item(), rel=1e-4)
    expected = 0.7 * sigmoid_rampup(0.5) * consistency
    assert minimize.losses["consistency"].item() == pytest.approx(expected, rel=1e-4)


def test_the_teachers_classifiers_follow_and_the_teacher_predicts():
    method, batch = made(decay=0.75), testing.some_batch(2)
    before = [p.clone() for p in (*method.teacher.parameters(), *method.teacher_heads.parameters())]
    method.step(batch, testing.minimizer(method), Clock(500, 1000))
    students = [*method.student.parameters(), *method.heads.parameters()]
    teachers = [*method.teacher.parameters(), *method.teacher_heads.parameters()]
    for old, ours, its in zip(before, teachers, students, strict=True):
        torch.testing.assert_close(ours, 0.75 * old + 0.25 * its)
    assert method.predictor is method.teacher


def test_student_and_teacher_see_noise_of_their_own(monkeypatch):
    drawn = []

    def noisy(image, std):
        drawn.append((image, std))
        return image + len(drawn)

    monkeypatch.setattr(multi_scale_mean_teacher, "noisy", noisy)
    method, batch, seen = made(noise=0.3), testing.some_batch(2), {}
    for name in ("student", "teacher"):
        getattr(method, name).encoder.register_forward_hook(lambda _, x, y, name=name: seen.update({name: x[0]}))
    method.step(batch, testing.minimizer(method), Clock(500, 1000))
    assert [std for _, std in drawn] == [0.3, 0.3]
    assert torch.equal(seen["student"], batch.image + 1)
    assert torch.equal(seen["teacher"], batch.unlabeled.image + 2)


def test_early_students_are_soon_forgotten():
    method, batch = made(decay=0.99), testing.some_batch(2)
    before = [p.clone() for p in method.teacher.parameters()]
    method.step(batch, testing.minimizer(method), Clock(0, 1000))
    for old, ours, its in zip(before, method.teacher.parameters(), method.student.parameters(), strict=True):
        torch.testing.assert_close(ours, (old + its) / 2)
