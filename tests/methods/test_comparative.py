import copy
import functools

import pytest
import torch
import torch.nn.functional as F

from halfmask import testing
from halfmask.augment.views import strong
from halfmask.learning import partitions as learning_partitions
from halfmask.learning.clock import Clock
from halfmask.learning.method import Converged
from halfmask.learning.minimize import Minimizer
from halfmask.losses.partitions import slices
from halfmask.methods.pretraining.comparative import Comparative
from halfmask.methods.pretraining.partition_contrast import PartitionContrast
from halfmask.networks.factory import Builder


def made(kind=Comparative, dims=2, exclusive=True, **settings):
    torch.manual_seed(0)
    return testing.begun(kind(testing.small(dims, norm="instance", exclusive=exclusive), **settings))


def still(method):
    """Minimizes without moving anything."""
    return Minimizer(method, method.optimizers(functools.partial(torch.optim.SGD, lr=0.0)))


def batch(dims=2, images=3):
    torch.manual_seed(1)
    return testing.some_batch(dims, labeled=0, unlabeled=images)


def moved(method, step):
    before = copy.deepcopy(method.state_dict())
    step()
    return {name.split(".")[1] for name, v in method.student.state_dict(prefix="student.").items()
            if not v.equal(before[name])}  # fmt: skip


def test_the_encoder_learns_first_then_the_whole_network():
    method, minimize = made(), None
    minimize = testing.minimizer(method)
    for step, stage, parts in ((10, 1, {"encoder"}), (49, 1, {"encoder"}), (50, 2, {"encoder", "decoder", "head"})):
        assert moved(method, lambda step=step: method.step(batch(), minimize, Clock(step, 100))) == parts
        assert method.stage == minimize.figures["stage"] == stage


def test_stages_end_when_they_have_converged():
    """The same loss in each step: ten steps each, long before half the steps; a checkpoint between goes on alike."""
    method, b = made(stop="paper"), batch()

    def step(number):
        torch.manual_seed(7)
        method.step(b, still(method), Clock(number, 10_000))

    for number in range(10):
        assert method.stage == 1
        step(number)
    assert method.stage == 2 and method.convergence.count == 0
    step(10)
    twin = made(stop="paper")
    twin.load_state_dict(method.state_dict())
    assert twin.stage == 2
    method = twin
    for number in range(11, 19):
        step(number)
    with pytest.raises(Converged, match="has converged"):
        step(19)


def test_never_means_never():
    method = made(stop="never")
    for number in range(30):
        torch.manual_seed(7)
        method.step(batch(), still(method), Clock(number, 100))
    assert method.stage == 1 and not any("convergence" in name for name in method.state_dict())


@pytest.mark.parametrize(("kind", "exclusive", "stage"), [
    (Comparative, True, 1), (Comparative, True, 2), (Comparative, False, 2),
    (PartitionContrast, True, 1), (PartitionContrast, False, 2),
])  # fmt: skip
@pytest.mark.parametrize("dims", [2, 3])
def test_it_is_a_slow_loop(kind, exclusive, stage, dims):
    """Over axes, classes, pairs of images and partitions; probabilities and cosines in one place each."""
    method, b = made(kind, dims, exclusive, partitions=3), batch(dims)
    with torch.no_grad():
        for p in method.student.parameters():
            p.add_(0.2 * torch.randn_like(p))
    minimize = still(method)
    torch.manual_seed(3)
    method.step(b, minimize, Clock(60 * (stage - 1), 100))
    torch.manual_seed(3)
    with torch.no_grad():
        view = strong(b.unlabeled.image)
        if stage == 1:
            x = method.student.encode(view)[-1]
        else:
            x = method.student(view)
            x = x.softmax(1) if exclusive else x.sigmoid()
        expected = []
        for axis in range(dims):
            each = slices(x, axis, 3)
            cosine = lambda i, p, j, q, c, each=each: F.cosine_similarity(
                each[i, p, c].flatten(), each[j, q, c].flatten(), dim=0)  # fmt: skip
            for c in [slice(None)] if stage == 1 else range(testing.CLASSES):
                terms = []
                for i in range(3):
                    for j in set(range(3)) - {i}:
                        for p in range(3):
                            same = cosine(i, p, j, p, c)
                            others = torch.stack([cosine(i, p, i, q, c) for q in range(3) if q != p])
                            if kind is Comparative:
                                terms += (1 + (others - same).exp()).log().tolist()
                            else:
                                terms.append((1 + others.exp().sum() / same.exp()).log().item())
                expected.append(sum(terms) / len(terms))
    assert minimize.losses["slices"].item() == pytest.approx(sum(expected) / dims, rel=1e-4)


def test_sampled_triplets_train_too():
    method, minimize = made(pairs="sampled"), None
    minimize = still(method)
    losses = []
    for seed in range(2):
        torch.manual_seed(seed)
        method.step(batch(), minimize, Clock(1, 100))
        losses.append(minimize.losses["slices"])
    torch.manual_seed(1)
    every = made()
    torch.manual_seed(1)
    every.step(batch(), both := still(every), Clock(1, 100))
    assert losses[0] > 0 and losses[1] != both.losses["slices"]


def test_the_encoder_alone_is_kept_where_it_alone_learns():
    method = made(stages="encoder", stop="paper")
    assert method.keeps == {"student": ("encoder",)} and made().keeps == {"student": ("encoder", "decoder", "head")}
    assert not any(name.startswith("student.decoder") for name in method.state_dict())
    method.step(batch(), still(method), Clock(80, 100))
    assert method.stage == 1
    method = made(stages="encoder", stop="paper")
    for _ in range(9):
        torch.manual_seed(7)
        method.step(batch(), still(method), Clock(81, 100))
    torch.manual_seed(7)
    with pytest.raises(Converged):
        method.step(batch(), still(method), Clock(81, 100))


def test_features_with_fewer_slices_than_partitions_have_one_each(monkeypatch):
    """A network of 32 voxels to one, of images 32 by 96: an axis with a single slice is left out, of features alone."""
    asked = []
    spy = lambda x, axis, parts: asked.append((axis, parts)) or slices(x, axis, parts)
    monkeypatch.setattr(learning_partitions, "slices", spy)
    network = Builder("resnet_unet", channels=2, classes=2, dims=2, patch=(32, 96),
                      settings={"width": 4, "blocks": (1, 1, 1, 1)})  # fmt: skip
    method = testing.begun(Comparative(network))
    assert method.parts == ([1, 3], [4, 4])
    b = batch()
    image = F.interpolate(b.unlabeled.image, (32, 96))
    for step in (0, 50):
        method.step(type(b)(b.labeled, b.unlabeled.with_(image=image)), testing.minimizer(method), Clock(step, 100))
    assert asked == [(1, 3), (0, 4), (1, 4)]


@pytest.mark.parametrize("kind", [Comparative, PartitionContrast])
def test_what_cannot_be_cut_or_compared_is_refused(kind):
    with pytest.raises(ValueError, match="partitions = 17 should be from 2 to 16, the patch being 16×16"):
        made(kind, partitions=17)
    with pytest.raises(ValueError, match="--batch 2 or more"):
        made(kind).step(batch(images=1), None, Clock(0, 100))
