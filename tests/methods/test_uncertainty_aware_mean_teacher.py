import pytest
import torch

from halfmask import testing
from halfmask.learning.clock import Clock
from halfmask.learning.schedules import sigmoid_rampup
from halfmask.methods.semisupervised.uncertainty_aware_mean_teacher import UncertaintyAwareMeanTeacher

LATE, EARLY = Clock(999_999, 1_000_000), Clock(0, 1000)


def losses(method, batch, clock=LATE):
    minimize = testing.minimizer(method)
    method.step(batch, minimize, clock)
    return minimize.figures


def made(**settings):
    torch.manual_seed(0)
    return UncertaintyAwareMeanTeacher(testing.small(2, norm="instance"), **settings).train()


def test_a_teacher_that_knows_nothing_is_followed_at_the_end_alone():
    """Its entropy is log K, here of three classes: below that by log 2 all would be left out at the end, too."""
    for clock, share in ((EARLY, 0), (LATE, 1)):
        method, batch = made(), testing.some_batch(2)
        for p in method.teacher.head.parameters():
            torch.nn.init.zeros_(p)
        figures = losses(method, batch, clock)
        assert figures["sure"] == share
        assert (figures["consistency"] > 0) == bool(share)


def test_it_is_a_slow_loop_over_sure_voxels():
    method = testing.arranged(made(noise=0.0, passes=2, weight=0.7))
    for p in method.teacher.head.parameters():
        p.data.mul_(0.02)  # unsure here and there
    batch, clock = testing.some_batch(2), Clock(500, 1000)
    u = batch.unlabeled.image
    with torch.no_grad():
        student, teacher = (net(u).softmax(1) for net in (method.student, method.teacher))
    limit, total, sure = 0.75 + 0.25 * sigmoid_rampup(0.5), 0.0, 0
    for b in range(len(u)):
        for i in range(testing.SIDE):
            for j in range(testing.SIDE):
                p, q = student[b, :, i, j], teacher[b, :, i, j]
                if -(q * q.log()).sum() / torch.log(torch.tensor(3.0)) <= limit:
                    total += (p - q).square().mean().item()
                    sure += 1
    assert 0 < sure < len(u) * testing.SIDE**2
    figures = losses(method, batch, clock)
    assert figures["consistency"].item() == pytest.approx(0.7 * sigmoid_rampup(0.5) * total / sure, rel=1e-4)


def test_the_passes_go_together_and_apart_alike():
    """Eight in one batch, or three, three and two: the same mean, in one call of the network or three."""
    u, calls = testing.some_batch(2).unlabeled.image, []
    for together, count in ((8, 1), (3, 3)):
        method = made(noise=0.0, together=together)
        method.teacher.register_forward_hook(lambda *_: calls.append(1))
        calls.clear()
        mean = method.mean_probability(u)
        assert len(calls) == count
        torch.testing.assert_close(mean, method.teacher(u).softmax(1))
