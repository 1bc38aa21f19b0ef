import copy

import pytest
import torch

from halfmask import testing
from halfmask.augment.views import strong
from halfmask.learning.clock import Clock
from halfmask.losses.information import information_loss, joint
from halfmask.methods.pretraining.mutual_information_clustering import MutualInformationClustering


def stepped(method, images=5):
    minimize = testing.minimizer(method)
    torch.manual_seed(3)
    method.step(testing.some_batch(2, labeled=0, unlabeled=images), minimize, Clock(50, 100))
    return minimize.figures["information"]


@pytest.mark.parametrize(("sizes", "settings"), [([4], {}), ([4, 7], {"auxiliary": 7})])
def test_it_is_the_mean_over_heads_of_the_information_of_both_views_of_an_image(sizes, settings):
    torch.manual_seed(0)
    network = testing.small(2)
    method = testing.arranged(
        MutualInformationClustering(network, clusters=4, heads=3, balance=1.2, crop=0.5, **settings)
    )
    twin, n = copy.deepcopy(method), 5
    found = stepped(method, n)
    torch.manual_seed(3)
    u = testing.some_batch(2, labeled=0, unlabeled=n).unlabeled.image
    views = torch.cat([u, u])
    z = twin.student.embed(strong(twin.space.crop(views, share=(0.5, 1.0)).image(views)))
    z = (z - z.mean(0)) / (z.var(0, correction=0) + 1e-5).sqrt()
    means = []
    for k, assign in zip(sizes, twin.assign, strict=True):
        logits, losses = assign(z), []
        for head in range(3):
            p = logits[:, head * k : (head + 1) * k].softmax(1)
            losses.append(information_loss(joint(p[:n], p[n:]), 1.2).item())
            assert losses[-1] != pytest.approx(information_loss(joint(p[:n], p[n:].roll(1, 0)), 1.2).item(), abs=1e-5)
        means.append(sum(losses) / 3)
    assert found.item() == pytest.approx(sum(means) / len(means), abs=1e-5)


def test_one_image_has_nothing_to_tell():
    with pytest.raises(ValueError, match="--batch 2"):
        stepped(testing.begun(MutualInformationClustering(testing.small(2))), images=1)
    assert stepped(testing.begun(MutualInformationClustering(testing.small(2))), images=2).isfinite()
