import pytest
import torch

from halfmask import testing
from halfmask.data.batch import IGNORE
from halfmask.data.regions import region_labels
from halfmask.learning.recipe import Recipe
from halfmask.methods.semisupervised.fixmatch import FixMatch
from halfmask.methods.semisupervised.mean_teacher import MeanTeacher
from halfmask.training.cases import unlabeled_cases
from halfmask.training.monitor import Monitor, expected_shares
from halfmask.training.options import Options
from halfmask.training.run import describe
from halfmask.training.trainer import Trainer

NAMES = ["background", "liver", "tumor"]


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def crops(exclusive=True):
    batch = testing.some_batch(2, labeled=5).labeled
    label = batch.label.masked_fill(torch.rand(batch.label.shape) < 0.3, IGNORE)
    return batch.with_(label=label if exclusive else region_labels(label, testing.MEMBERS))


def monitor(images, *, expected=(0.5, 0.3, 0.2), labeled=None, exclusive=True):
    return Monitor(images, NAMES, expected, labeled or images, size=2, exclusive=exclusive)


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
    assert "next to no 'tumor', which is 20.00%" in told(0.4, tumor=False)
    assert not told(0.5, tumor=False)
    assert not told(0.6, tumor=True)
    assert "'tumor'" in told(0.7, tumor=False)


def test_a_class_that_nobody_labeled_is_not_missed(capsys):
    made = method()
    made.teacher.head.bias.data[2] -= 1e6
    monitor(crops(), expected=(0.6, 0.4, 0.0)).look(made, 0.9)
    assert not capsys.readouterr().err


@pytest.mark.parametrize("exclusive", [True, False], ids=["classes", "regions"])
def test_a_class_that_the_crops_may_not_hold_is_noted_once_not_warned_of(capsys, exclusive):
    """Two of five crops like these hold it, so that 8 % of all such fives do not."""
    images, made = crops(exclusive), method(exclusive=exclusive)
    label = images.label.clone()
    rare = label[:3] if exclusive else label[:3, 2]
    rare[rare == (2 if exclusive else 1)] = IGNORE
    assert (label == (2 if exclusive else 1)).any()
    bias = made.teacher.head.bias.data
    watch = monitor(images, labeled=images.with_(label=label), exclusive=exclusive)
    whole = bias.clone()
    for progress, tumor in ((0.3, False), (0.4, False), (0.5, True), (0.6, False)):
        bias.copy_(whole)
        bias[2] += 0 if tumor else -1e6
        watch.look(made, progress)
    told = capsys.readouterr().err
    assert told.count("note: the pseudo-labels hold no 'tumor' in the 5 crops") == 1 and "40%" in told
    assert "warning" not in told


def test_expected_shares_are_of_all_voxels():
    """Of those annotated, ten strokes through a tumor would be a quarter."""
    members = torch.tensor([[0, 0], [1, 0], [1, 1]], dtype=torch.bool)
    voxels = [{0: 20, 1: 10, IGNORE: 150}, {0: 10, 2: 10}]
    assert expected_shares(voxels, members) == pytest.approx([0.1, 0.05])
    assert expected_shares(voxels, torch.eye(3, dtype=torch.bool)) == pytest.approx([0.15, 0.05, 0.05])


def trainer(store, out, method="bidirectional_copy_paste"):
    settings = {"network.norm": "batch", "network.dropout": "0.2"}
    run = describe(store.plan, method, settings=settings, network=None, recipe=Recipe(steps=12), labels=2)
    return Trainer(run, store, out, Options(threads=0, validations=0))


def test_a_training_is_the_same_with_and_without_it(prepared, tmp_path):
    """Nothing that it sees, hidden labels above all, comes to the networks, their statistics or what is drawn."""
    made = [trainer(prepared(2), tmp_path / name) for name in ("with", "without")]
    made[1].exam.monitor = None
    for each in made:
        each.train()
    ours, theirs = (each.method.state_dict() for each in made)
    assert all(value.equal(theirs[name]) for name, value in ours.items())


def test_it_sees_the_same_crops_after_a_stop_and_those_of_unlabeled_cases_alone(prepared, tmp_path):
    store = prepared(2)
    one, other = (trainer(store, tmp_path / name) for name in "ab")
    for what in ("image", "label", "case"):
        assert getattr(one.exam.monitor.crops, what).equal(getattr(other.exam.monitor.crops, what))
    assert one.exam.monitor.found == other.exam.monitor.found and max(one.exam.monitor.found) == 1
    pool = unlabeled_cases(one.run, store)
    known = one.exam.monitor.crops.label != IGNORE
    assert 0 < known.float().mean() < 1, "some of them have hidden labels"
    for case, here in zip(one.exam.monitor.crops.case, known, strict=True):
        assert here.any() == bool(store.case(pool[case]).voxels)
