import copy

import pytest
import torch
import torch.nn.functional as F

from halfmask import testing
from halfmask.data.batch import Batch
from halfmask.learning.clock import Clock
from halfmask.learning.schedules import sigmoid_rampup
from halfmask.losses.segmentation import dice_ce
from halfmask.methods.semisupervised.cross_pseudo_supervision import CrossPseudoSupervision


def made(**settings):
    torch.manual_seed(0)
    return testing.arranged(CrossPseudoSupervision(testing.small(2, norm="instance"), **settings)).train()


def stepped(method, batch):
    minimize = testing.minimizer(method)
    method.step(batch, minimize, Clock(50, 100))
    return minimize.figures


@pytest.mark.parametrize("on", ["all", "unlabeled"])
@pytest.mark.parametrize("ramp", [True, False])
def test_each_is_trained_on_the_others_hard_labels_and_on_nothing_else(on, ramp):
    """The gradient of each network is that of its own losses, the other's labels taken as given numbers."""
    method, batch = made(on=on, ramp=ramp, weight=0.3), testing.some_batch(2)
    twin, n, image = copy.deepcopy(method), len(batch.labeled), batch.image
    figures = stepped(method, batch)

    counts = slice(n, None) if on == "unlabeled" else slice(None)
    weight = 0.3 * (sigmoid_rampup(0.5) if ramp else 1)
    with torch.no_grad():
        labels = {"student": twin.peer(image).argmax(1)[counts], "peer": twin.student(image).argmax(1)[counts]}
    cross = {}
    for name, label in labels.items():
        network = getattr(twin, name)
        optimizer, logits = torch.optim.SGD(network.parameters(), lr=0.1), network(image)
        cross[name] = weight * F.cross_entropy(logits[counts], label)
        (dice_ce(logits[:n], batch.labeled.label) + cross[name]).backward()
        optimizer.step()
        for (what, ours), theirs in zip(getattr(method, name).named_parameters(), network.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs, msg=f"{name}.{what}")
    torch.testing.assert_close(figures["cross"], cross["student"] + cross["peer"])
    assert figures["agreement"] == (labels["student"] == labels["peer"]).float().mean()


def test_two_networks_that_differ_from_the_start():
    torch.manual_seed(0)
    method = CrossPseudoSupervision(testing.small(2))
    same = [torch.equal(p, q) for p, q in zip(method.student.parameters(), method.peer.parameters(), strict=True)]
    assert not all(same)
    convolutions = [n for n, p in method.student.named_parameters() if p.ndim > 1]
    for name in convolutions:
        assert not torch.equal(method.student.get_parameter(name), method.peer.get_parameter(name)), name


def test_labeled_images_count_only_if_asked():
    batch, other = testing.some_batch(2), testing.some_batch(2)
    exchanged = Batch(other.labeled, batch.unlabeled)
    alone = [stepped(made(on="unlabeled"), b)["cross"] for b in (batch, exchanged)]
    every = [stepped(made(on="all"), b)["cross"] for b in (batch, exchanged)]
    assert alone[0] == alone[1]
    assert every[0] != every[1]


def test_predicts_with_the_first():
    method, image = made().eval(), testing.some_batch(2).image
    assert torch.equal(method.predict(image), method.student(image).softmax(1))
