import dataclasses

import pytest
import torch
import torch.nn.functional as F

from halfmask import testing
from halfmask.learning.clock import Clock
from halfmask.learning.minimize import Minimizer
from halfmask.methods.pretraining.rotation import Rotation
from halfmask.networks.factory import Builder


def test_each_view_is_told_by_the_rotation_it_underwent(monkeypatch):
    torch.manual_seed(0)
    method = testing.arranged(Rotation(testing.small(2, norm="instance"), copies=2))
    batch, which = testing.batch_for(method, 2), torch.tensor([[3, 0, 1, 2], [1, 2, 0, 3]])
    monkeypatch.setattr(type(method.turns), "draw", lambda self, count, copies: which)
    losses = []
    with torch.no_grad():
        for copy in range(2):
            for i, image in enumerate(batch.unlabeled.image):
                number = which[copy, i]
                view = method.turns.each[number](image[None])
                losses.append(F.cross_entropy(method.classifier(method.student.embed(view)), number[None]).item())
    minimize = testing.minimizer(method)
    method.step(batch, minimize, Clock(1, 10))
    assert minimize.figures["rotation"].item() == pytest.approx(sum(losses) / 8, rel=1e-5)
    assert 0 <= minimize.figures["accuracy"] <= 1


def test_it_learns_to_tell_which_side_is_up():
    """A slope along one axis is turned to each of four sides."""
    torch.manual_seed(0)
    method = testing.begun(Rotation(testing.small(2)))
    batch = testing.batch_for(method, 2)
    image = 0.3 * batch.unlabeled.image + torch.linspace(-2, 2, testing.SIDE)[:, None] * torch.tensor([1.0, 0.0]).view(
        2, 1, 1
    )
    batch = dataclasses.replace(batch, unlabeled=batch.unlabeled.with_(image=image))
    minimize = Minimizer(method, method.optimizers(lambda p: torch.optim.Adam(p, 0.01)))
    for step in range(50):
        method.step(batch, minimize, Clock(step, 50))
    assert minimize.figures["accuracy"] > 0.9


def test_classes_are_as_many_as_the_patch_has_rotations():
    assert len(Rotation(testing.small(3)).turns) == 10
    assert Rotation(testing.small(3), rotations="all").classifier[-1].out_features == 24
    thick = dataclasses.replace(testing.small(2), spacing=(5.0, 1.0))
    assert Rotation(thick).classifier[-1].out_features == Rotation(thick).copies == 2
    settings = {"hidden_size": 24, "layers": 4, "heads": 2, "mlp": 24, "feature_size": 4}
    unetr = Builder("unetr", channels=1, classes=2, dims=2, patch=(64, 32), settings=settings)
    assert len(Rotation(unetr).turns) == 2
