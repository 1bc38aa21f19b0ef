import copy

import pytest
import torch

from halfmask import testing
from halfmask.data.batch import IGNORE
from halfmask.learning.clock import Clock
from halfmask.learning.components import largest_components
from halfmask.losses.segmentation import dice_ce
from halfmask.methods.semisupervised.self_training import SelfTraining

LATE = Clock(60, 100)


def made(exclusive=True, **settings):
    torch.manual_seed(0)
    return testing.arranged(SelfTraining(testing.small(2, exclusive=exclusive), **settings)).train()


def figures(method, batch, clock=LATE):
    minimize = testing.minimizer(method)
    method.step(batch, minimize, clock)
    return minimize.figures


@pytest.mark.parametrize(("start", "steps"), [(0.25, 24), (0.25, 26), (0.5, 24)])
def test_the_teacher_is_the_student_as_it_was_when_the_round_began(start, steps):
    """It moves three times, to where the student then is, and has no say before, when it is the student throughout."""
    method, batch = made(start=start), testing.some_batch(2)
    assert method.rounds == 3
    moves = []
    for step in range(steps):
        before = copy.deepcopy(method.teacher.state_dict())
        told = figures(method, batch, Clock(step, steps))
        assert ("pseudo" in told) == bool(moves)
        if any(not value.equal(before[name]) for name, value in method.teacher.state_dict().items()):
            for name, value in method.student.state_dict().items():
                assert value.equal(method.teacher.state_dict()[name]), name
            if step >= int(start * steps):
                moves.append(step)
        else:
            assert step > start * steps, "what looks at the teacher before its time sees the student"
    assert moves == [int(steps * (start + (1 - start) * k / 3) + 1e-9) for k in range(3)]


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("clean", [False, True])
def test_confident_voxels_alone_are_taught(exclusive, clean):
    """As the teacher predicts in use: with the running statistics of its batch norms. The student is in training."""
    method = made(exclusive, threshold=0.8, weight=0.7, largest_component=clean)
    for _ in range(3):  # statistics of its own
        method.student(testing.some_batch(2).image)
    method.teacher.load_state_dict(method.student.state_dict())
    method.student.head.bias.data.add_(torch.tensor([0.5, -0.5, 0.0]))
    batch = testing.some_batch(2, exclusive=exclusive)
    u = batch.unlabeled.image
    with torch.no_grad():
        logits = copy.deepcopy(method.teacher).eval()(u)
        seen = copy.deepcopy(method.student)(batch.image)[2:]
    if exclusive:
        confidence, pseudo = logits.softmax(1).max(1)
    else:
        pseudo = (logits > 0).long()
        confidence = logits.abs().sigmoid()
    if clean:
        pseudo = largest_components(pseudo, testing.CLASSES, exclusive=exclusive)
    pseudo[confidence < 0.8] = IGNORE
    assert 0.05 < (pseudo == IGNORE).float().mean() < 0.9
    told = figures(method, batch)
    torch.testing.assert_close(told["pseudo"], 0.7 * dice_ce(seen, pseudo), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(told["kept"], (pseudo != IGNORE).float().mean())


def test_no_confident_voxel_no_loss():
    method = made()
    method.threshold = 1.1
    told = figures(method, testing.some_batch(2))
    assert told["pseudo"] == 0 and told["kept"] == 0
