import dataclasses

import pytest
import torch
from torch import nn

from halfmask import testing
from halfmask.data.batch import IGNORE
from halfmask.learning.clock import Clock
from halfmask.losses.pyramid import label_pyramid
from halfmask.losses.segmentation import dice
from halfmask.methods.semisupervised import multi_scale_consistency
from halfmask.methods.semisupervised.multi_scale_consistency import MultiScaleConsistency
from halfmask.networks.factory import Builder

LABELED, UNLABELED = Clock(500, 1000), Clock(501, 1000)


def builder(exclusive=True):
    """U-Nets of three levels."""
    small = testing.small(2, norm="instance", exclusive=exclusive)
    return dataclasses.replace(small, pooling=[(1, 1), (2, 2), (2, 2)], kernels=[(3, 3)] * 3)


def made(exclusive=True, **settings):
    torch.manual_seed(0)
    return testing.arranged(MultiScaleConsistency(builder(exclusive), **settings)).train()


def losses(method, batch, clock):
    minimize = testing.minimizer(method)
    method.step(batch, minimize, clock)
    return minimize.losses


def bent(x):
    """No mere factor, which the norms would undo."""
    return x * x.sigmoid()


@pytest.mark.parametrize("through", [False, True])
def test_without_perturbation_there_is_nothing_to_agree_on(monkeypatch, through):
    monkeypatch.setattr(multi_scale_consistency, "perturbed", lambda x: x)
    method = made(temperature=1.0, through=through)
    assert losses(method, testing.some_batch(2), UNLABELED)["consistency"] == 0


@pytest.mark.parametrize("exclusive", [True, False], ids=["classes", "regions"])
@pytest.mark.parametrize("levels", [None, (0,), (1,), (-1,), (0, -1)])
def test_it_is_a_slow_loop_over_the_levels_asked_for(monkeypatch, levels, exclusive):
    monkeypatch.setattr(multi_scale_consistency, "perturbed", bent)
    method, batch = made(exclusive, levels=levels, temperature=0.5, weight=3.0), testing.some_batch(2)
    net, total = method.student, 0.0
    with torch.no_grad():
        features = net.encode(batch.unlabeled.image)
        maps = net.decode(features)
        for k in {None: (0, 1, 2), (-1,): (2,), (0, -1): (0, 2)}.get(levels, levels):
            given = [bent(f) for f in (maps[-1],)] if k == 2 else [bent(maps[k + 1]), bent(features[k])]
            view = given[0] if k == 2 else net.decoder.levels[k](*given)
            classify = net.head if k == 0 else method.heads[k - 1]
            clean, student = (method.probability(classify(m)).movedim(1, -1).flatten(0, -2) for m in (maps[k], view))
            errors = []
            for p, q in zip(clean, student, strict=True):
                rest = (p**2).sum() if exclusive else p**2 + (1 - p) ** 2
                target = p**2 / rest
                errors.append((target - q).square().mean().item())
            total += sum(errors) / len(errors)
    got = losses(method, batch, UNLABELED)
    assert list(got) == ["consistency"]
    assert got["consistency"].item() == pytest.approx(3.0 * 0.501 * total, rel=1e-4)


@pytest.mark.parametrize("through", [False, True])
def test_a_level_teaches_itself_and_the_encoder_and_coarser_levels_if_asked_to(through):
    method = made(levels=(0,), through=through)
    (loss,) = method.disagreements(testing.some_batch(2).unlabeled.image)
    reached = lambda module: any(
        g is not None and g.any()
        for g in torch.autograd.grad(loss, [*module.parameters()], retain_graph=True, allow_unused=True)
    )
    net = method.student
    assert reached(net.head) and reached(net.decoder.levels[0]) and reached(net.encoder.levels[0])
    assert reached(net.decoder.levels[1]) == through
    assert not reached(method.heads)


@pytest.mark.parametrize("through", [False, True])
def test_the_bottleneck_counts_as_a_coarser_level(through):
    """It is the encoder's, and what lies above it learns without it unless asked to."""
    method = made(levels=(1,), through=through)
    (loss,) = method.disagreements(testing.some_batch(2).unlabeled.image)
    weights = [*method.student.encoder.levels[-1].parameters()]
    pulls = torch.autograd.grad(loss, weights, allow_unused=True)
    assert any(g is not None and g.any() for g in pulls) == through


def test_the_clean_path_is_a_target_alone(monkeypatch):
    """Where the perturbed one is nothing but zeros, nothing reaches the encoder."""
    monkeypatch.setattr(multi_scale_consistency, "perturbed", torch.zeros_like)
    method = made()
    loss = sum(method.disagreements(testing.some_batch(2).unlabeled.image))
    pulls = torch.autograd.grad(loss, [*method.student.encoder.parameters()], allow_unused=True)
    assert not any(g is not None and g.any() for g in pulls)


@pytest.mark.parametrize("with_dice", [False, True])
def test_every_level_is_supervised_by_cross_entropy_on_pooled_labels(with_dice):
    """And by Dice if asked to."""
    method, batch = made(dice=with_dice), testing.some_batch(2, sparse=0.9)
    net, total = method.student, 0.0
    labels = label_pyramid(batch.labeled.label, [(1, 1), (2, 2), (4, 4)], testing.CLASSES)
    with torch.no_grad():
        maps = net.decode(net.encode(batch.labeled.image))
        for classify, map_, label in zip([net.head, *method.heads], maps, labels, strict=True):
            f, each = classify(map_), []
            log_p = f.log_softmax(1)
            for b in range(len(log_p)):
                for i in range(log_p.shape[2]):
                    for j in range(log_p.shape[3]):
                        if label[b, i, j] != IGNORE:
                            each.append(-log_p[b, label[b, i, j], i, j].item())
            error = sum(each) / len(each)
            total += (error + dice(f, label).item()) / 2 if with_dice else error
    got = losses(method, batch, LABELED)
    assert list(got) == ["supervised"]
    assert got["supervised"].item() == pytest.approx(total, rel=1e-4)


def test_each_kind_of_step_has_its_own_rate():
    """After a tenth of the training, and after a fifth; of 50 epochs these are 5 and 10."""
    method = made(supervised_halving=0.1, unsupervised_halving=0.2)
    rate = lambda step: method.rate(Clock(step, 100), 0.7)
    assert [rate(s) for s in (0, 8, 10, 18, 20, 30, 98)] == [1, 1, 0.5, 0.5, 0.25, 0.125, 0.5**9]
    assert [rate(s) for s in (1, 9, 11, 19, 21, 99)] == [1, 1, 1, 1, 0.5, 0.5**4]
    assert method.rate(Clock(6, 12), 0.7) == 0.5**5, "6 / (0.1 · 12) is a bit less than 5"
    own = made(unsupervised_halving=0.2)
    assert own.rate(Clock(50, 100), 0.7) == 0.7 and own.rate(Clock(51, 100), 0.7) == 0.25


def test_levels_that_the_network_has_not_are_refused():
    for levels in ((3,), (0, -4), ()):
        with pytest.raises(ValueError, match="the network has 3 levels"):
            made(levels=levels)


def test_a_decoder_that_does_not_open_is_refused():
    class Closed(Builder):
        def __call__(self, *args, **changes):
            net = super().__call__(*args, **changes)
            net.decoder = nn.Identity()
            return net

    small = testing.small(2)
    fields = {f.name: getattr(small, f.name) for f in dataclasses.fields(small) if f.name != "name"}
    with pytest.raises(ValueError, match="cannot with a Identity: give a network"):
        MultiScaleConsistency(Closed(small.name, **fields))


@pytest.mark.parametrize("dims", [2, 3])
def test_a_network_whose_head_enlarges_is_supervised_at_the_size_of_the_image(dims):
    """A Swin U-Net's levels have strides 2 and 4 here; labels of stride 1, and 4."""
    swin = Builder("swin_unet", channels=2, classes=3, dims=dims, patch=(16,) * dims,
                   settings=dict(embed=8, token=2, window=2, depths=(1, 1), heads=(1, 2)))  # fmt: skip
    method, batch = MultiScaleConsistency(swin).train(), testing.some_batch(dims, labeled=1, unlabeled=1)
    assert losses(method, batch, LABELED)["supervised"] > 0
    assert losses(method, batch, UNLABELED)["consistency"] > 0
