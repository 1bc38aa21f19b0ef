"""What holds for every method."""

from __future__ import annotations

import copy
import functools
import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from halfmask.data.batch import Batch
from halfmask.learning.clock import Clock
from halfmask.learning.method import Classifier, Clusterer, Method, Pretrainer, Segmenter
from halfmask.learning.minimize import Minimizer
from halfmask.networks.backbone import Backbone
from halfmask.testing.given import (
    CLASSES,
    Make,
    arranged,
    batch_for,
    begun,
    counted,
    minimizer,
    small,
    some_batch,
    swept,
)


class Watch(Minimizer):
    """Also asks that each loss is positive and by itself pulls on the networks it was given for.

    Attributes:
        positive: some losses of pre-training, such as negative mutual information, need not be.
        apart: heads of pre-training may have a loss each; of the losses together none may leave one out.
    """

    positive = True
    apart = False

    def __call__(self, networks: nn.Module | Iterable[nn.Module], **losses: Tensor) -> None:
        listed = [networks] if isinstance(networks, nn.Module) else list(networks)
        pulled = set()
        for name, loss in losses.items():
            assert loss.requires_grad, f"{name} has no gradient"
            assert loss.isfinite(), f"{name} is {loss.item():.3g}"
            assert loss > 0 or not self.positive, f"{name} is {loss.item():.3g}"
            assert loss.dtype == torch.float32, f"{name} is computed in {loss.dtype}"
            for network in listed:
                if name == "supervised" and not isinstance(network, Backbone):
                    continue  # what a method adds to a network may learn from unlabeled images alone
                weights = [p for p in network.parameters() if p.requires_grad]
                pulls = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
                if any(g is not None and g.any() for g in pulls):
                    pulled.add(network)
                else:
                    assert self.apart and not isinstance(network, Backbone), f"{name} pulls on nothing"
        assert not self.apart or pulled == set(listed), "no loss pulls on one of the networks"
        super().__call__(listed, **losses)


def check_losses_pull_and_state_moves(make: Make, dims: int, exclusive: bool = True) -> None:
    """Over a cycle of each phase students learn, teachers follow, centers shift: nothing that is kept stands still."""
    method = arranged(make(small(dims, exclusive=exclusive)))
    before = copy.deepcopy(method.state_dict())
    watch = Watch(method, method.optimizers(functools.partial(torch.optim.SGD, lr=0.1)))
    watch.positive = isinstance(method, Segmenter | Clusterer | Classifier)
    watch.apart = isinstance(method, Pretrainer)
    for phase in getattr(method, "phases", (0.5,)):
        for step in range(method.steps_per_cycle):
            clock = Clock(round(100 * phase) + step, 100)
            method.step(batch_for(method, dims, exclusive=exclusive), watch, clock)
    counted(swept(method), exclusive)
    still = {name for name, value in method.state_dict().items() if value.equal(before[name])}
    for name, p in method.named_parameters():
        if p.grad is not None and 0 < p.grad.abs().max() < 1e-7:  # a bias before a norm: rounding alone pulls on it
            own = name.partition(".")[2]
            still -= {other for other in still if other.partition(".")[2] == own}  # and of what follows it
    still -= {
        name for name in still if name.endswith("._u") and method.state_dict()[name].numel() == 1
    }  # can only be ±1
    assert not still, f"these stand still: {still}"


def check_networks_are_apart(make: Make, dims: int, exclusive: bool = True) -> None:
    """No two networks share weights: a teacher that is the student agrees with itself."""
    state = make(small(dims, exclusive=exclusive)).state_dict()
    names: dict[int, str] = {}
    for name, value in state.items():
        other = names.setdefault(value.data_ptr(), name)
        assert other == name or value.numel() == 0, f"{name} is {other}"


def check_halves(make: Make, dims: int, exclusive: bool = True) -> None:
    """Each loss depends on the half of the batch that its name says, and on no other.

    ``supervised`` and ``…_labeled`` on the labeled images alone (labels that are learned on images mixed with
    unlabeled ones are ``supervised_mixed``), ``…_unlabeled`` on the unlabeled
    alone; every other loss on the unlabeled at least. With instance norm: batch norm ties the halves.
    """
    method = arranged(make(small(dims, exclusive=exclusive, norm="instance")))
    batch, other = some_batch(dims, exclusive=exclusive), some_batch(dims, exclusive=exclusive)
    plain = _losses(method, batch)
    labeled = _losses(method, Batch(other.labeled, batch.unlabeled))
    unlabeled = _losses(method, Batch(batch.labeled, other.unlabeled))
    for name, loss in plain.items():
        own, others = bool(labeled[name] != loss), bool(unlabeled[name] != loss)
        if name == "supervised" or name.endswith("_labeled"):
            assert own and not others, f"{name} is not a loss of the labeled images alone"
        elif name.endswith("_unlabeled"):
            assert others and not own, f"{name} is not a loss of the unlabeled images alone"
        else:
            assert others, f"{name} does not depend on the unlabeled images"


def check_unannotated(make: Make, dims: int, exclusive: bool = True) -> None:
    """Ignored voxels teach nothing: with none annotated the supervised loss is 0, and the step goes on."""
    method = arranged(make(small(dims, exclusive=exclusive)))
    losses = _losses(method, some_batch(dims, exclusive=exclusive, sparse=1.0))
    supervised = [name for name in losses if name.startswith("supervised")]
    assert supervised, f"none of the losses {', '.join(losses)} is called supervised"
    for name in supervised:
        assert losses[name] == 0, f"without one annotated voxel the loss {name} is {losses[name]}"
    batch = some_batch(dims, exclusive=exclusive, sparse=0.5)
    image, label = batch.labeled.image, batch.labeled.label
    assert label is not None
    plain = _losses(method, batch)
    minimize = minimizer(method)
    method.step(batch, minimize, Clock(50, 100))
    minimize.check()
    assert all(plain[name].isfinite() and plain[name] > 0 for name in supervised)
    assert all(p.isfinite().all() for p in method.parameters()), "a weight is not finite after sparse labels"
    assert image.isfinite().all()


def check_reproducible(make: Make, dims: int, exclusive: bool = True) -> None:
    """A step from a checkpoint with the same random numbers gives the same weights, bit for bit.

    The checkpoint is of a method some steps on: all that it keeps from them has to be in its state.
    """
    method = arranged(make(small(dims, exclusive=exclusive, dropout=0.2)))
    for step in range(method.steps_per_cycle):
        method.step(batch_for(method, dims, exclusive=exclusive), minimizer(method), Clock(40 + step, 100))
    twin = begun(make(small(dims, exclusive=exclusive, dropout=0.2)))
    twin.load_state_dict(method.state_dict())
    batch = batch_for(method, dims, exclusive=exclusive)
    for each in (method, twin):
        torch.manual_seed(1)
        for step in range(each.steps_per_cycle):
            each.step(batch, minimizer(each), Clock(50 + step, 100))
        swept(each)
    for (name, ours), theirs in zip(method.state_dict().items(), twin.state_dict().values(), strict=True):
        assert ours.equal(theirs), f"{name} differs"


def check_prediction(make: Make, dims: int, exclusive: bool = True) -> None:
    """Probabilities (B, K, *spatial) of the image's shape, that sum to one if classes exclude each other."""
    method = make(small(dims, exclusive=exclusive)).eval()
    if isinstance(method, Segmenter):
        image = some_batch(dims, exclusive=exclusive).image
        out = method.predict(image)
        assert out.shape == (len(image), CLASSES, *image.shape[2:])
        assert out.min() >= 0 and out.max() <= 1, f"from {out.min():.3g} to {out.max():.3g}: no probabilities"
        if exclusive:
            torch.testing.assert_close(out.sum(1), torch.ones_like(out[:, 0]))


def check_says_where_it_comes_from(kind: type[Method]) -> None:
    """The docstring cites year and arXiv number or DOI; every setting has type, default and a line."""
    text = inspect.getdoc(kind) or ""
    assert re.search(r"(19|20)\d\d, (arXiv:\d{4}\.\d{4,5}|doi:10\.)", text), f"{kind.__name__} cites no source"
    network, *settings = list(inspect.signature(kind).parameters.values())
    assert network.name == "network"
    for s in settings:
        assert s.kind is s.KEYWORD_ONLY and s.annotation is not s.empty and s.default is not s.empty, s.name
        assert re.search(rf"\b{s.name}\b.*:", text), f"{kind.__name__} does not explain {s.name}"


CHECKS: tuple[Callable[..., None], ...] = (
    check_losses_pull_and_state_moves,
    check_networks_are_apart,
    check_halves,
    check_unannotated,
    check_reproducible,
    check_prediction,
)


def _losses(method: Method, batch: Batch) -> dict[str, Tensor]:
    """The losses of one cycle, each step on a copy of the method, with the same random numbers each time."""
    losses: dict[str, Tensor] = {}
    for step in range(method.steps_per_cycle):
        twin = copy.deepcopy(method)
        minimize = minimizer(twin)
        with seeded():
            twin.step(batch, minimize, Clock(50 + step, 100))
        losses |= minimize.losses
    return losses


@contextmanager
def seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
