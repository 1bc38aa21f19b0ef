import copy

import pytest
import torch

from halfmask import testing
from halfmask.learning.clock import Clock
from halfmask.learning.schedules import sigmoid_rampup
from halfmask.losses.segmentation import dice, dice_ce
from halfmask.methods.semisupervised.co_training import LEAST, CoTraining


def made(dropout=0.0, **settings):
    torch.manual_seed(0)
    return testing.arranged(CoTraining(testing.small(2, norm="instance", dropout=dropout), **settings))


def test_weights_sum_to_one_and_follow_certainty_voxel_by_voxel():
    """Against a loop over images and voxels, for classes and for regions."""
    method, p = made(), torch.rand(2, 2, 3, 4, 5)
    for exclusive in (True, False):
        method.exclusive = exclusive
        doubt = torch.rand((2, 2, 4, 5) if exclusive else p.shape)
        doubt[0, 0, ..., 1, 2] = 0  # wholly sure
        label = method.consensus(list(p), list(doubt))
        for b in range(2):
            for i in range(4):
                for j in range(5):
                    w = 1 / doubt[..., i, j][:, b].clamp(min=LEAST)
                    w = w[:, None] if exclusive else w
                    mean = (w * p[:, b, :, i, j]).sum(0) / w.sum(0)
                    expected = mean.argmax() if exclusive else mean > 0.5
                    assert torch.equal(label[b, ..., i, j], expected.long())


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_each_learns_from_the_others_labels_in_its_own_view(dropout, monkeypatch):
    """The gradient of each network is that of its own Dice; the two others' consensus is a given label."""
    method, batch = made(dropout, weight=0.3, passes=2), testing.some_batch(2)
    for net in method.children():
        for p in net.head.parameters():
            p.data.mul_(0.05)  # less sure, else equal weights and opposite decisions meet in the middle
    assert bool(method.passes) == bool(dropout)
    variances = {id(net): torch.rand(3, testing.SIDE, testing.SIDE) for net in method.children()}
    monkeypatch.setattr(method, "variance", lambda net, image: variances[id(net)])  # in the network's own frame
    if dropout:
        for part in method.modules():
            if isinstance(part, torch.nn.Dropout2d):
                part.p = 0.0  # the same numbers in both
    twin, n = copy.deepcopy(method), len(batch.labeled)
    known = dict(zip(twin.children(), variances.values(), strict=True))
    minimize = testing.minimizer(method)
    method.step(batch, minimize, Clock(50, 100))

    turns = [0, 1, 3]  # how often a quarter turn is made in each view
    back = lambda x, k: torch.rot90(x, -k, (-2, -1))
    networks = list(twin.children())
    logits = [back(net(torch.rot90(batch.image, k, (2, 3))), k) for net, k in zip(networks, turns, strict=True)]
    p = [each[n:].softmax(1).detach() for each in logits]
    doubt = [twin.entropy(each) for each in p]
    if dropout:
        doubt = [back(known[net], k) for net, k in zip(networks, turns, strict=True)]
    total = 0.0
    for i, net in enumerate(networks):
        a, b = (j for j in range(3) if j != i)
        w = [1 / doubt[j].clamp(min=LEAST)[:, None] for j in (a, b)]
        label = ((w[0] * p[a] + w[1] * p[b]) / (w[0] + w[1])).argmax(1)
        loss = 0.3 * sigmoid_rampup(0.5) * dice(logits[i][n:], label)
        total += loss.item()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        (dice_ce(logits[i][:n], batch.labeled.label) + loss).backward()
        optimizer.step()
    assert minimize.figures["consensus_unlabeled"].item() == pytest.approx(total, rel=1e-5)
    for (name, ours), theirs in zip(method.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, msg=name)


def test_variance_is_that_of_passes_with_dropout():
    method, u = made(0.4, passes=5), testing.some_batch(2).unlabeled.image
    torch.manual_seed(1)
    found = method.variance(method.student, u)
    torch.manual_seed(1)
    with torch.no_grad():
        passes = method.student(torch.cat([u] * 5)).softmax(1).view(5, 3, testing.CLASSES, *u.shape[2:])
    torch.testing.assert_close(found, (passes - passes.mean(0)).square().mean(0).mean(1))
    assert found.max() > 1e-3


def test_all_views_predict_or_the_first_alone():
    image = testing.some_batch(2).image
    method = made(predict_with="student").eval()
    first = method.predict(image)
    assert torch.equal(first, method.student(image).softmax(1))
    method.predict_with = "mean"
    turned = [
        torch.rot90(net(torch.rot90(image, k, (2, 3))).softmax(1), -k, (2, 3))
        for net, k in ((method.peer1, 1), (method.peer2, 3))
    ]
    torch.testing.assert_close(method.predict(image), (first + sum(turned)) / 3)


def test_more_views_than_layouts_are_refused():
    assert len(CoTraining(testing.small(2), views=8).views) == 8
    with pytest.raises(ValueError, match=r"a patch of \(16, 16\) voxels has 8 layouts, not views = 9"):
        CoTraining(testing.small(2), views=9)
