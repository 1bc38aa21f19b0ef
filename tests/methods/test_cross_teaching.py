import copy

import pytest
import torch

from halfmask import testing
from halfmask.config import read_settings
from halfmask.data.batch import Batch
from halfmask.learning.clock import Clock
from halfmask.learning.schedules import sigmoid_rampup
from halfmask.losses.segmentation import dice, dice_ce
from halfmask.methods.semisupervised.cross_teaching import CrossTeaching
from halfmask.networks.factory import name_of

TINY = dict(embed=6, window=2, heads=(1, 2))


def made(**settings):
    torch.manual_seed(0)
    settings = dict(peer_settings=TINY) | settings
    return testing.arranged(CrossTeaching(testing.small(2, norm="instance"), **settings))


def stepped(method, batch):
    minimize = testing.minimizer(method)
    method.step(batch, minimize, Clock(50, 100))
    return minimize.figures


@pytest.mark.parametrize("ramp", [True, False])
def test_each_is_trained_by_dice_on_the_others_hard_labels_and_on_nothing_else(ramp):
    method, batch = made(ramp=ramp, weight=0.3), testing.some_batch(2)
    twin, n, image = copy.deepcopy(method), len(batch.labeled), batch.image
    figures = stepped(method, batch)

    weight = 0.3 * (sigmoid_rampup(0.5) if ramp else 1)
    with torch.no_grad():
        labels = {"student": twin.peer(image).argmax(1)[n:], "peer": twin.student(image).argmax(1)[n:]}
    cross = {}
    for name, label in labels.items():
        network = getattr(twin, name)
        optimizer, logits = torch.optim.SGD(network.parameters(), lr=0.1), network(image)
        cross[name] = weight * dice(logits[n:], label)
        (dice_ce(logits[:n], batch.labeled.label) + cross[name]).backward()
        optimizer.step()
        for (what, ours), theirs in zip(getattr(method, name).named_parameters(), network.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs, msg=f"{name}.{what}")
    torch.testing.assert_close(figures["cross_unlabeled"], cross["student"] + cross["peer"])
    assert figures["agreement"] == (labels["student"] == labels["peer"]).float().mean()


def test_labels_of_the_labeled_half_do_not_reach_the_cross_loss():
    batch, other = testing.some_batch(2), testing.some_batch(2)
    both = [stepped(made(), b)["cross_unlabeled"] for b in (batch, Batch(other.labeled, batch.unlabeled))]
    assert both[0] == both[1]


def test_two_architectures_of_which_either_predicts():
    image = testing.some_batch(2).image
    for chosen, kind in (("network", "unet"), ("peer", "swin_unet")):
        method = made(predict_with=chosen).eval()
        assert name_of(method.predictor) == kind
        assert torch.equal(method.predict(image), method.predictor(image).softmax(1))


def test_the_peers_settings_are_read_and_refused_as_a_networks():
    given = read_settings(CrossTeaching, {"peer_settings": "embed=6, window=2,depths=1,2,heads=2,3"}, of="it")
    method = CrossTeaching(testing.small(2), **given)
    assert method.peer.widths == (6, 12)
    assert [stage.depth for stage in method.peer.encoder.stages] == [1, 2]
    with pytest.raises(ValueError, match="network 'swin_unet' has no setting 'windw'; did you mean 'window'"):
        CrossTeaching(testing.small(2), peer_settings={"windw": "2"})
    with pytest.raises(ValueError, match="both are 'unet'; set peer to another, or use cross_pseudo_supervision"):
        CrossTeaching(testing.small(2), peer="unet")


def test_class_weights_are_those_of_both_networks_cross_entropy():
    method, batch = made(class_weights=(0.2, 1.0, 3.0)), testing.some_batch(2)
    y, x, n = batch.labeled.label, batch.image, len(batch.labeled)
    with torch.no_grad():
        logits = [network(x)[:n] for network in (method.student, method.peer)]
    weights = torch.tensor([0.2, 1.0, 3.0])
    expected = sum((dice(p, y) + torch.nn.functional.cross_entropy(p, y, weights)) / 2 for p in logits)
    torch.testing.assert_close(stepped(method, batch)["supervised"], expected)


@pytest.mark.parametrize("weights", [(1.0, 2.0), (0.0, 0.0, 0.0)])
def test_class_weights_that_do_not_fit_the_classes(weights):
    with pytest.raises(ValueError, match="class_weights wants 3 numbers, not all 0"):
        made(class_weights=weights)
