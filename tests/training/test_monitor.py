import pytest
import torch

from halfmask import testing
from halfmask.data.batch import IGNORE
from halfmask.data.regions import region_labels
from halfmask.methods.semisupervised.fixmatch import FixMatch
from halfmask.methods.semisupervised.mean_teacher import MeanTeacher
from halfmask.training.monitor import Monitor, expected_shares

NAMES = ["background", "liver", "tumor"]


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def crops(exclusive=True):
    batch = testing.some_batch(2, labeled=5).labeled
    label = batch.label.masked_fill(torch.rand(batch.label.shape) < 0.3, IGNORE)
    return batch.with_(label=label if exclusive else region_labels(label, testing.MEMBERS))


def monitor(images, *, expected=(0.5, 0.3, 0.2), exclusive=True):
    return Monitor(images, NAMES, expected, size=2, exclusive=exclusive)


def method(kind=MeanTeacher, exclusive=True):
    return testing.arranged(kind(testing.small(2, exclusive=exclusive, norm="instance"))).eval()


@pytest.mark.parametrize("exclusive", [True, False], ids=["classes", "regions"])
def test_it_is_a_slow_loop_over_voxels(exclusive):
    """Each class by itself; the hidden labels' Dice over the voxels that somebody annotated alone."""
    images, made = crops(exclusive), method(exclusive=exclusive)
    seen = monitor(images, exclusive=exclusive).look(made, 0.0)
    with torch.no_grad():
        p, q = (made.probability(net(images.image)) for net in (made.teacher, made.student))
    for k, name in enumerate(NAMES):
        n = ours = theirs = both = known = truth = right = 0
        sure = 0.0
        for b in range(5):
            for i in range(testing.SIDE):
                for j in range(testing.SIDE):
                    if exclusive:
                        t, s = p[b, :, i, j].argmax() == k, q[b, :, i, j].argmax() == k
                        confidence, label = p[b, :, i, j].max(), images.label[b, i, j]
                        there = label == k
                    else:
                        t, s = p[b, k, i, j] > 0.5, q[b, k, i, j] > 0.5
                        confidence, label = max(p[b, k, i, j], 1 - p[b, k, i, j]), images.label[b, k, i, j]
                        there = label == 1
                    n, ours, theirs, both = n + 1, ours + int(t), theirs + int(s), both + int(t and s)
                    sure += float(confidence) * bool(t)
                    if label != IGNORE:
                        known, truth, right = known + int(t), truth + int(there), right + int(t and there)
        assert 0 < ours < n and truth > 0
        assert seen[f"pseudo share {name}"] == pytest.approx(ours / n)
        assert seen[f"pseudo confidence {name}"] == pytest.approx(sure / ours, rel=1e-5)
        assert seen[f"pseudo agreement {name}"] == pytest.approx(2 * both / (ours + theirs))
        assert seen[f"pseudo dice {name}"] == pytest.approx(2 * right / (known + truth))


def test_a_method_that_is_its_own_teacher_is_compared_on_two_views():
    seen = monitor(crops()).look(method(FixMatch), 0.0)
    assert all(0 < seen[f"pseudo agreement {name}"] < 1 for name in NAMES)


def test_without_hidden_labels_there_is_no_dice():
    images = crops()
    seen = monitor(images.with_(label=torch.full_like(images.label, IGNORE))).look(method(), 0.0)
    assert all(seen[f"pseudo dice {name}"] != seen[f"pseudo dice {name}"] for name in NAMES)
    assert seen["pseudo share liver"] > 0


def test_a_class_that_vanishes_is_told_once_and_again_when_it_comes_back_and_goes(capsys):
    made, watch = method(), monitor(crops())
    head = next(made.teacher.head.parameters())
    bias = made.teacher.head.bias.data
    whole = bias.clone()

    def told(progress, *, tumor):
        bias.copy_(whole)
        bias[2] += 0 if tumor else -1e6
        watch.look(made, progress)
        return capsys.readouterr().err

    assert head.requires_grad is False
    assert not told(0.1, tumor=False), "at first a network knows nothing"
    assert not told(0.3, tumor=True)
    assert "no 'tumor', which is 20.00%" in told(0.4, tumor=False)
    assert not told(0.5, tumor=False)
    assert not told(0.6, tumor=True)
    assert "'tumor'" in told(0.7, tumor=False)


def test_a_class_that_nobody_labeled_is_not_missed(capsys):
    made = method()
    made.teacher.head.bias.data[2] -= 1e6
    monitor(crops(), expected=(0.6, 0.4, 0.0)).look(made, 0.9)
    assert not capsys.readouterr().err


def test_expected_shares_are_of_annotated_voxels():
    members = torch.tensor([[0, 0], [1, 0], [1, 1]], dtype=torch.bool)
    voxels = [{0: 60, 1: 20, IGNORE: 1000}, {0: 10, 2: 10}]
    assert expected_shares(voxels, members) == pytest.approx([0.3, 0.1])
    assert expected_shares(voxels, torch.eye(3, dtype=torch.bool)) == pytest.approx([0.7, 0.2, 0.1])
