import contextlib

import numpy as np
import pytest
import torch
from torch import nn

from halfmask import methods
from halfmask.data.plan import Plan
from halfmask.inference.test_time import Adaptation, adapted, refuse_unfit
from halfmask.learning.method import Segmenter
from halfmask.networks.domain_norm import DomainNorm, per_domain
from halfmask.testing.given import CHANNELS, CLASSES, small
from halfmask.training.device import make_fabric, make_predictor

CONV = {2: nn.Conv2d, 3: nn.Conv3d}
NORM = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
STATISTICS, ENTROPY = Adaptation("statistics"), Adaptation("entropy", steps=20, rate=0.01)


class Plain(Segmenter):
    """A network of its own, as it is."""

    def __init__(self, network, dims=2):
        super().__init__(small(dims))
        self.student = network


def plan(dims, **changes):
    told = dict(
        channels=["a", "b"], labels={"background": 0, "one": 1, "two": 2}, dims=dims, orientation="SPL",
        spacing=(None,) * 3, normalization=["zscore"] * 2, patch=(16,) * dims, labeled=2, unlabeled=2, pooling=[],
        kernels=[(3,) * dims], flips=(True,) * dims,
    )  # fmt: skip
    return Plan(**told | changes)


def predicted(method, image, adaptation=None, told=None, **options):
    told = told or plan(len(method.space.spacing))
    return make_predictor(method, told, make_fabric("cpu"), adaptation=adaptation, **options).probability(image)


def scan(seed=0, shape=(17, 24, 30)):
    """A bright egg on a slope, in noise."""
    rng = np.random.default_rng(seed)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    egg = (z**2 + y**2 + x**2 < 0.5).astype(np.float32)
    image = np.stack([egg + 0.3 * x, 0.5 * egg - 0.4 * y]) + 0.2 * rng.normal(size=(2, *shape))
    return image.astype(np.float32)


def trained(name="supervised", dims=2, *, seed=0, exclusive=True, norm="batch"):
    """A method whose norms have seen something, and whose networks are of an opinion."""
    torch.manual_seed(seed)
    method = methods.find(name)(small(dims, exclusive=exclusive, norm=norm))
    with torch.no_grad():
        for network in method.children():
            for _ in range(3):
                network.train()(0.5 + 2 * torch.randn(4, CHANNELS, *(16,) * dims))
            for weight in network.head.parameters():
                weight.mul_(5)
    return method.eval()


def state(method):
    return {name: value.clone() for name, value in method.state_dict().items()}


@pytest.mark.parametrize("dims", [2, 3])
def test_statistics_undo_what_a_scanner_does_to_the_channels(dims):
    """Batch norm comes first, trained on this scan; another scanner scales and shifts each channel."""
    torch.manual_seed(0)
    image = scan(shape=(16, 32, 32))
    other = image * np.array([3.0, 0.5], np.float32).reshape(2, 1, 1, 1) + np.array([2, -4.0]).reshape(2, 1, 1, 1)
    network = nn.Sequential(NORM[dims](2), CONV[dims](2, CLASSES, 3, padding=1))
    values = torch.from_numpy(image).flatten(1)
    network[0].running_mean.copy_(values.mean(1))
    network[0].running_var.copy_(values.var(1))
    method = Plain(network, dims)
    whole = plan(dims, labeled=64, unlabeled=64)  # in one batch, and in windows that do not overlap
    say = lambda image, how: predicted(method, image.astype(np.float32), how, whole, overlap=0.0)
    right = say(image, None)
    torch.testing.assert_close(say(image, STATISTICS), right, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(say(other, STATISTICS), right, atol=1e-3, rtol=1e-3)
    assert (say(other, None) - right).abs().mean() > 0.05, "else there was nothing to undo"


def test_the_statistics_are_the_mean_of_those_of_all_batches():
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(2, momentum=0.0)  # as a teacher's
    batches = [n + (1 + n) * torch.randn(3, 2, 4, 4) for n in range(3)]
    method = Plain(nn.Sequential(norm, nn.Conv2d(2, CLASSES, 1)))
    with adapted(method, lambda: iter(batches), STATISTICS):
        of = [b.transpose(0, 1).flatten(1) for b in batches]
        torch.testing.assert_close(norm.running_mean, torch.stack([v.mean(1) for v in of]).mean(0))
        torch.testing.assert_close(norm.running_var, torch.stack([v.var(1) for v in of]).mean(0))
    assert norm.momentum == 0


@pytest.mark.parametrize("how", [STATISTICS, ENTROPY], ids=lambda how: how.kind)
@pytest.mark.parametrize("name", ["supervised", "mean_teacher", "co_training", "by domain"])
def test_nothing_is_left_of_a_scan(name, how):
    """Not of weights, statistics, momenta, nor of what takes a gradient: also after an error."""
    method = trained("supervised" if name == "by domain" else name)
    if name == "by domain":
        per_domain(method.student)
        method.eval()
    known = lambda: ([(p.requires_grad, p.grad) for p in method.parameters()],
                     [(getattr(m, "momentum", None), m.training) for m in method.modules()])  # fmt: skip
    before, flags, plain = state(method), known(), predicted(method, scan())
    found = predicted(method, scan(), how)
    assert (found - plain).abs().mean() > 1e-3, "nothing was adapted"
    with contextlib.suppress(KeyError), adapted(method, lambda: [torch.randn(4, 2, 16, 16)], how):
        assert any(not torch.equal(value, before[key]) for key, value in method.state_dict().items())
        raise KeyError("in the middle")
    breaks = iter([torch.randn(4, 2, 16, 16), torch.randn(4, 7, 16, 16)])
    with pytest.raises(ValueError, match="not \\(4, 7"), adapted(method, lambda: breaks, how):
        raise AssertionError("seven channels are no image")
    after = state(method)
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    assert known() == flags
    assert torch.equal(predicted(method, scan()), plain)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("how", [STATISTICS, ENTROPY], ids=lambda how: how.kind)
def test_a_scan_is_predicted_alike_whatever_came_before(how, dims):
    method, images = trained(dims=dims), [scan(seed) * (1 + seed) for seed in (0, 1)]
    how = Adaptation(how.kind, steps=2, rate=0.01)
    predictor = make_predictor(method, plan(dims), make_fabric("cpu"), adaptation=how)
    first, second, again = (predictor.probability(images[n]) for n in (0, 1, 0))
    torch.manual_seed(5)
    alone = make_predictor(trained(dims=dims), plan(dims), make_fabric("cpu"), adaptation=how).probability(images[1])
    assert torch.equal(first, again) and torch.equal(second, alone)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize(("dims", "exclusive"), [(2, True), (3, True), (2, False)], ids=["2d", "3d", "regions"])
def test_entropy_falls(dims, exclusive, norm):
    method = trained(dims=dims, exclusive=exclusive, norm=norm)
    regions = {"regions": {"a": ["one"], "b": ["two"], "c": ["one", "two"]}, "outputs": "regions"}
    told = plan(dims, **({} if exclusive else regions))
    undecided = lambda how: float(method.entropy(predicted(method, scan(), how, told)[None]).mean())
    before = undecided(STATISTICS if norm == "batch" else None)
    few, many = (undecided(Adaptation("entropy", steps=steps, rate=0.01)) for steps in (3, 12))
    assert before > few > many, "the more steps the surer"


def test_of_entropy_norms_alone_are_moved_and_all_of_them():
    torch.manual_seed(0)
    by_domain = DomainNorm(nn.BatchNorm2d(4))
    norms = [nn.BatchNorm2d(4), nn.InstanceNorm2d(4, affine=True), nn.GroupNorm(2, 4), by_domain, nn.LayerNorm([4, 4])]
    convs = [nn.Conv2d(CHANNELS if k == 0 else 4, 4, 1) for k in range(5)]
    mixed = [layer for pair in zip(convs, norms, strict=True) for layer in pair]
    method = Plain(nn.Sequential(*mixed, nn.Conv2d(4, CLASSES, 1)))
    before = {name: p.detach().clone() for name, p in method.named_parameters()}
    with adapted(method, lambda: [torch.randn(8, CHANNELS, 4, 4)], ENTROPY):
        moved = {name for name, p in method.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {f"student.{2 * k + 1}.{part}" for k in range(5) for part in ("weight", "bias")}


def test_what_has_nothing_to_adapt_is_refused():
    with pytest.raises(ValueError, match=r"has none: instance and layer norm .*--test-time entropy"):
        refuse_unfit(trained(norm="instance"), STATISTICS)
    refuse_unfit(trained(norm="instance"), ENTROPY)
    with pytest.raises(ValueError, match=r"has none; leave it out"):
        refuse_unfit(Plain(nn.Conv2d(CHANNELS, CLASSES, 1)), ENTROPY)
    for name in ("classification", "picie"):
        with pytest.raises(ValueError, match=r"adapts what segments, .* clusters; leave it out"):
            refuse_unfit(methods.find(name)(small(2)), STATISTICS)
