import copy

import torch

from halfmask import testing
from halfmask.augment.views import strong
from halfmask.learning.clock import Clock
from halfmask.losses.segmentation import dice_ce
from halfmask.methods.semisupervised.fixmatch import FixMatch


def stepped(method, batch, seed=0):
    minimize = testing.minimizer(method)
    torch.manual_seed(seed)
    method.step(batch, minimize, Clock(50, 100))
    return minimize.figures


def test_is_a_slow_loop_over_voxels():
    torch.manual_seed(0)
    method = testing.arranged(FixMatch(testing.small(2, norm="instance"), weight=0.5)).train()
    network, batch = copy.deepcopy(method.student), testing.some_batch(2)
    u = batch.unlabeled.image
    with torch.no_grad():
        weak = network(u).softmax(1)
    method.threshold = weak.amax(1).median().item()
    figures = stepped(method, batch)
    torch.manual_seed(0)
    with torch.no_grad():
        seen = network(strong(u, holes=True)).log_softmax(1)
    total, kept = 0.0, 0
    for b in range(len(u)):
        for i in range(testing.SIDE):
            for j in range(testing.SIDE):
                sure = max(weak[b, k, i, j].item() for k in range(testing.CLASSES))
                if sure >= method.threshold:
                    label = [weak[b, k, i, j].item() for k in range(testing.CLASSES)].index(sure)
                    total -= seen[b, label, i, j].item()
                    kept += 1
    voxels = len(u) * testing.SIDE**2
    assert 0.4 < kept / voxels < 0.6
    torch.testing.assert_close(figures["pseudo"].item(), 0.5 * total / voxels, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(figures["kept"].item(), kept / voxels)


def test_the_threshold_decides_how_many_are_kept():
    torch.manual_seed(0)
    fresh, batch = FixMatch(testing.small(2)).train(), testing.some_batch(2)
    kept = []
    for threshold in (0.0, 0.4, 0.95, 1.1):
        method = copy.deepcopy(fresh)
        method.threshold = threshold
        figures = stepped(method, batch)
        kept.append(figures["kept"].item())
        assert (figures["pseudo"] == 0) == (kept[-1] == 0)
    assert kept == sorted(kept, reverse=True)
    assert kept[0] == 1
    assert kept[-1] == 0


def test_the_weak_view_is_no_student():
    """No gradient goes through the labels: with λ = 0 the step is a supervised one."""
    torch.manual_seed(0)
    method = testing.arranged(FixMatch(testing.small(2, norm="instance"), weight=0.0, threshold=0.0)).train()
    twin, batch = copy.deepcopy(method), testing.some_batch(2)
    stepped(method, batch)
    minimize = testing.minimizer(twin)
    minimize(twin.student, supervised=dice_ce(twin.student(batch.labeled.image), batch.labeled.label))
    for ours, theirs in zip(method.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
