import pytest
import torch

from halfmask import testing
from halfmask.learning.clock import Clock
from halfmask.learning.schedules import sigmoid_rampup
from halfmask.methods.semisupervised.multi_task_attention import MultiTaskAttention


def made(exclusive=True, **settings):
    torch.manual_seed(0)
    small = testing.small(2, norm="instance", exclusive=exclusive)
    return testing.arranged(MultiTaskAttention(small, **settings)).train()


class Keep:
    """Keeps the losses, with their graph, and moves nothing."""

    def __call__(self, networks, **losses):
        self.losses = losses


def losses(method, batch, clock):
    keep = Keep()
    method.step(batch, keep, clock)
    return keep.losses


def test_the_image_is_parted_as_the_segmentation_says():
    u, logits = torch.randn(2, 2, 4, 5), torch.randn(2, 3, 4, 5)
    parts = made().parts(u, logits).unflatten(1, (3, 2))
    for k in range(3):
        for c in range(2):
            torch.testing.assert_close(parts[:, k, c], u[:, c] * logits.softmax(1)[:, k])
    torch.testing.assert_close(parts.sum(1), u)


def test_regions_are_followed_by_what_is_in_none():
    u, logits = torch.randn(2, 2, 4, 5), torch.randn(2, 3, 4, 5)
    p, parts = logits.sigmoid(), made(exclusive=False).parts(u, logits).unflatten(1, (4, 2))
    for k in range(3):
        torch.testing.assert_close(parts[:, k], u * p[:, k : k + 1])
    torch.testing.assert_close(parts[:, 3], u * (1 - p.amax(1, keepdim=True)))


@pytest.mark.parametrize("schedule", ["alternating", "joint"])
def test_the_error_is_a_slow_loop_over_parts_and_voxels(schedule):
    method, batch = made(schedule=schedule, weight=0.7), testing.some_batch(2)
    u, net, errors = batch.unlabeled.image, method.student, []
    with torch.no_grad():
        bottleneck = net.encode(u)[-1]
        skip = torch.zeros(len(u), 4, testing.SIDE, testing.SIDE)
        made_of = method.reconstructor([skip, bottleneck])
        p = net(u).softmax(1)
        for k in range(3):
            for c in range(testing.CHANNELS):
                for b in range(len(u)):
                    for i in range(testing.SIDE):
                        for j in range(testing.SIDE):
                            target = u[b, c, i, j] * p[b, k, i, j]
                            errors.append((made_of[b, k * testing.CHANNELS + c, i, j] - target).item() ** 2)
    weight = 0.7 if schedule == "alternating" else 0.7 * sigmoid_rampup(0.501)
    got = losses(method, batch, Clock(501, 1000))
    assert got["reconstruction"].item() == pytest.approx(weight * sum(errors) / len(errors), rel=1e-4)


def test_steps_take_turns_or_do_both():
    batch = testing.some_batch(2)
    told = lambda schedule: [list(losses(made(schedule=schedule), batch, Clock(s, 1000))) for s in (500, 501, 502)]
    assert told("alternating") == [["supervised"], ["reconstruction"], ["supervised"]]
    assert told("joint") == [["supervised", "reconstruction"]] * 3


@pytest.mark.parametrize("schedule", ["alternating", "joint"])
def test_reconstruction_teaches_itself_and_the_encoder_but_not_the_segmentation(schedule):
    method = made(schedule=schedule)
    loss = losses(method, testing.some_batch(2), Clock(501, 1000))["reconstruction"]

    def reached(module):
        pulls = torch.autograd.grad(loss, [*module.parameters()], retain_graph=True, allow_unused=True)
        return any(g is not None and g.any() for g in pulls)

    assert reached(method.reconstructor.decoder) and reached(method.reconstructor.head)
    assert reached(method.student.encoder)
    assert not reached(method.student.decoder) and not reached(method.student.head)
