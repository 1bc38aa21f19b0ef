import copy

import pytest
import torch

from halfmask import testing
from halfmask.data.batch import IGNORE, Batch
from halfmask.learning.clock import Clock
from halfmask.methods.semisupervised.adversarial_self_training import AdversarialSelfTraining

LATE = Clock(500, 1000)


def made(exclusive=True, **settings):
    torch.manual_seed(0)
    network = testing.small(2, norm="instance", exclusive=exclusive)
    return testing.arranged(AdversarialSelfTraining(network, **settings)).train()


def figures(method, batch, clock=LATE):
    minimize = testing.minimizer(method)
    method.step(batch, minimize, clock)
    return minimize.figures


def test_it_learns_its_own_decision_where_the_critic_believes_it():
    """Against a slow loop: the mean is over all voxels, not those kept."""
    method, batch = made(weight=0.7), testing.some_batch(2)
    u = batch.unlabeled.image
    with torch.no_grad():
        p = method.student(u).softmax(1)
        belief = method.critic.voxelwise(p).sigmoid()
        method.threshold = belief.median().item()
    total, kept = 0.0, 0
    for b, i, j in torch.cartesian_prod(*(torch.arange(n) for n in belief.shape)).tolist():
        if belief[b, i, j] > method.threshold:
            total -= p[b, :, i, j].max().log().item()
            kept += 1
    told = figures(method, batch)
    assert 0.3 < kept / belief.numel() < 0.7 and told["kept"].item() == pytest.approx(kept / belief.numel())
    assert told["pseudo_unlabeled"].item() == pytest.approx(0.7 * total / belief.numel(), rel=1e-4)
    assert figures(made(), batch, Clock(249, 1000))["pseudo_unlabeled"] == 0
    assert figures(made(), batch, Clock(250, 1000))["pseudo_unlabeled"] > 0


@pytest.mark.parametrize("exclusive", [True, False])
def test_the_critic_sees_labeled_images_alone_and_counts_annotated_voxels(exclusive):
    method, batch = made(exclusive), testing.some_batch(2, exclusive=exclusive, sparse=0.4)
    y = batch.labeled.label
    if not exclusive:
        y[:, 0, 2:6] = IGNORE  # of one region alone
    before, student = copy.deepcopy(method.critic), copy.deepcopy(method.student)
    with torch.no_grad():
        logits = student(batch.labeled.image)
        mask = logits.softmax(1) if exclusive else logits.sigmoid()
        truth = mask.clone()
        for b, k, i, j in torch.cartesian_prod(*(torch.arange(n) for n in mask.shape)).tolist():
            label = y[b, i, j] if exclusive else y[b, k, i, j]
            if label != IGNORE:
                truth[b, k, i, j] = float(label == (k if exclusive else 1))
        true, false = (before.voxelwise(m).sigmoid() for m in (truth, mask))
    known = y != IGNORE if exclusive else (y != IGNORE).all(1)
    assert 0.3 < known.float().mean() < 0.9
    expected = -(true[known].log() + (1 - false[known]).log()).mean()
    torch.testing.assert_close(figures(method, batch)["critic_labeled"], expected)

    after = copy.deepcopy(method.critic.state_dict())
    torch.manual_seed(1)
    other = made(exclusive)
    figures(other, Batch(batch.labeled, testing.some_batch(2).unlabeled))
    assert all(value.equal(after[name]) for name, value in other.critic.state_dict().items())
    assert any(not value.equal(after[name]) for name, value in before.state_dict().items())


def test_both_halves_are_to_pass_for_true():
    method, batch = made(), testing.some_batch(2)
    with torch.no_grad():
        belief = method.critic.voxelwise(method.student(batch.image).softmax(1)).sigmoid()
    told = figures(method, batch)
    torch.testing.assert_close(told["adversarial_labeled"], -0.01 * belief[:2].log().mean())
    torch.testing.assert_close(told["adversarial_unlabeled"], -0.001 * belief[2:].log().mean())
