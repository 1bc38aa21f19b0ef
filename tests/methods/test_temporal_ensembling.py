import pytest
import torch

from halfmask import testing
from halfmask.data.batch import Batch
from halfmask.learning.clock import Clock
from halfmask.learning.schedules import sigmoid_rampup
from halfmask.methods.semisupervised.temporal_ensembling import TemporalEnsembling


def made(dims=2, **settings):
    torch.manual_seed(0)
    return testing.begun(TemporalEnsembling(testing.small(dims, norm="instance"), **settings))


def figures(method, batch):
    minimize = testing.minimizer(method)
    method.step(batch, minimize, Clock(500, 1000))
    return minimize.figures


@pytest.mark.parametrize("dims", [2, 3])
def test_what_was_never_seen_has_no_loss_and_what_was_is_a_slow_loop(dims):
    method, batch = made(dims, noise=0.0, weight=0.7), testing.some_batch(dims)
    u = batch.unlabeled.image
    with torch.no_grad():
        first = method.student(u).softmax(1)
    told = figures(method, batch)
    assert told["consistency"] == 0 and told["seen"] == 0

    means = getattr(torch.nn.functional, f"avg_pool{dims}d")(first, 2)
    for case, mean in zip(method.past.cases, means, strict=True):  # these images begin at voxel 8 of their cases
        table = case[:-1, 8, 4:12, 4:12] if dims == 2 else case[:-1, 4:12, 4:12, 4:12]
        torch.testing.assert_close(table / 255, mean, atol=0.51 / 255, rtol=0)

    target, seen = method.past.recall(batch.unlabeled)  # what was said before the step is the target
    assert seen.all()
    with torch.no_grad():
        p = method.student(u).softmax(1)
    total = 0.0
    for b in range(len(u)):
        for voxel in torch.ones(u.shape[2:]).nonzero():
            total += (p[(b, slice(None), *voxel)] - target[(b, slice(None), *voxel)]).square().mean().item()
    expected = 0.7 * sigmoid_rampup(0.5) * total / (len(u) * u[0, 0].numel())
    told = figures(method, batch)
    assert told["consistency"].item() == pytest.approx(expected, rel=1e-4)
    assert told["seen"] == 1


def test_only_seen_voxels_count():
    """Of images moved by half of a side, in slices that were seen, half was: the mean is over that."""
    method, batch = made(noise=0.0, weight=1.0), testing.some_batch(2)
    figures(method, batch)
    place = batch.unlabeled.place.clone()
    place[:, 1, -1] += testing.SIDE / 2
    batch = Batch(batch.labeled, batch.unlabeled.with_(place=place))
    target, seen = method.past.recall(batch.unlabeled)
    with torch.no_grad():
        p = method.student(batch.unlabeled.image).softmax(1)
    half = testing.SIDE // 2
    assert seen[:, :, :half].all() and not seen[:, :, half:].any()
    expected = sigmoid_rampup(0.5) * (p - target)[:, :, :half].square().mean()
    told = figures(method, batch)
    torch.testing.assert_close(told["consistency"], expected)
    assert told["seen"] == 0.5


def test_a_run_is_loaded_for_prediction_without_its_cases():
    method, image = made(), testing.some_batch(2).image
    figures(method, testing.some_batch(2))
    other = TemporalEnsembling(testing.small(2, norm="instance"))
    other.load_state_dict(method.state_dict())
    assert torch.equal(other.eval().predict(image), method.eval().predict(image))


def test_too_many_cases_are_refused_before_the_first_step():
    with pytest.raises(ValueError, match=r"the past predictions of 3 cases would take .* GiB of memory"):
        made(budget=1e-6)
