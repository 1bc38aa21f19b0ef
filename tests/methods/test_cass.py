import copy

import pytest
import torch

from halfmask import testing
from halfmask.learning.clock import Clock
from halfmask.losses.consistency import cosine_distance
from halfmask.methods.pretraining.cass import CASS
from halfmask.networks.factory import Builder, name_of

TINY = dict(embed=6, window=2, heads=(1, 2))


def made(**settings):
    torch.manual_seed(0)
    return testing.arranged(CASS(testing.small(2), **dict(peer_settings=TINY, features=5) | settings))


def stepped(method, images=4):
    minimize, seen = testing.minimizer(method), {}
    for name in ("student", "peer"):
        getattr(method, name).encoder.register_forward_pre_hook(
            lambda _, given, name=name: seen.update({name: given[0]})
        )
    method.step(testing.some_batch(2, labeled=0, unlabeled=images), minimize, Clock(50, 100))
    return minimize.figures, seen


def test_both_are_moved_to_say_the_same_of_the_same_view():
    method = made()
    twin, parts = copy.deepcopy(method), ("student", "peer", "student_head", "peer_head")
    figures, seen = stepped(method)
    assert seen["student"].equal(seen["peer"])
    one = twin.student_head(twin.student.embed(seen["student"]))
    other = twin.peer_head(twin.peer.embed(seen["student"]))
    loss = cosine_distance(one, other)
    torch.testing.assert_close(figures["agreement"], loss)
    unit = one / one.norm(dim=1, keepdim=True)
    torch.testing.assert_close(figures["spread"], (unit - unit.mean(0)).square().mean(0).sum().sqrt())

    weights = [p for name in parts for p in getattr(twin, name).parameters() if p.requires_grad]
    pulls = torch.autograd.grad(loss, weights, allow_unused=True)  # no stopped gradient: to both of them
    moved = [p for name in parts for p in getattr(method, name).parameters() if p.requires_grad]
    for before, pull, after in zip(weights, pulls, moved, strict=True):
        torch.testing.assert_close(after, before if pull is None else before - 0.1 * pull)
    assert all(getattr(method, name).weight.grad.any() for name in parts[2:])


def test_the_other_kind_of_architecture_stands_beside():
    assert [name_of(network) for network in (made().student, made().peer)] == ["unet", "swin_unet"]
    swin = Builder("swin_unet", channels=1, classes=2, dims=2, patch=(32, 32), settings={"embed": 12})
    assert name_of(CASS(swin).peer) == "unet"
    assert name_of(CASS(swin, peer="vnet", peer_settings={"width": 4}).peer) == "vnet"
    for network, peer in [(testing.small(2), "vnet"), (testing.small(2), "unet"), (swin, "swin_unet")]:
        with pytest.raises(ValueError, match=f"not '{network.name}' and '{peer}'; set peer"):
            CASS(network, peer=peer)


@pytest.mark.parametrize(
    ("name", "peer"),
    [("resnet18", "vit_ti16"), ("resnet50", "vit_b16"), ("vit_ti16", "resnet18"), ("vit_b16", "resnet50")],
)
def test_a_network_without_a_decoder_stands_beside_one_of_its_size(name, peer):
    plan = dict(channels=1, classes=2, dims=2, patch=(32, 32))
    with torch.device("meta"):
        assert name_of(CASS(Builder(name, **plan)).peer) == peer
        with pytest.raises(ValueError, match="takes a convolutional network and a Transformer, not"):
            CASS(Builder(name, **plan), peer="unet" if peer.startswith("vit") else "unetr")


def test_outputs_that_are_all_the_same_have_no_spread():
    method = made()
    for head in (method.student_head, method.peer_head):
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.ones_(head.bias)
    figures, _ = stepped(method)
    assert figures["spread"] < 1e-6 and figures["agreement"].abs() < 1e-6
