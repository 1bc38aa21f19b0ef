import copy
from dataclasses import replace

import pytest
import torch

from halfmask import testing
from halfmask.augment.views import strong
from halfmask.learning.clock import Clock
from halfmask.losses.edges import edge_mismatch
from halfmask.losses.information import displaced_joints, information_loss
from halfmask.methods.pretraining.boundary_information import BoundaryInformation


def stepped(method, dims=2, images=2):
    minimize = testing.minimizer(method)
    torch.manual_seed(3)
    method.step(testing.some_batch(dims, labeled=0, unlabeled=images), minimize, Clock(50, 100))
    return minimize.figures


@pytest.mark.parametrize("dims", [2, 3])
def test_its_two_losses_are_of_the_moved_map_and_of_edges_in_each_frame(dims):
    torch.manual_seed(0)
    spacing = (4.0, 1.0, 1.0)[-dims:]
    network = replace(testing.small(dims), spacing=spacing, flips=(True,) * dims)
    settings = dict(clusters=5, displacement=2 if dims == 2 else 1, balance=1.3, boundary=0.7, window=3)
    method = testing.begun(BoundaryInformation(network, **settings))
    assert method.reach == {2: (2, 2), 3: (0, 1, 1)}[dims], "not across thick slices"
    twin = copy.deepcopy(method)
    found = stepped(method, dims)

    torch.manual_seed(3)
    u = testing.some_batch(dims, labeled=0, unlabeled=2).unlabeled.image
    geometry = twin.space.draw(u, rotation=twin.space.turn, scale=(0.8, 1.25))
    moved = geometry.image(u)
    p = twin.student(strong(torch.cat([u, moved]))).softmax(1)
    known = geometry.inside()
    assert not known.all(), "else the mask is not tested"
    joints = displaced_joints(geometry.image(p[:2]), p[2:], method.reach, known)
    torch.testing.assert_close(found["information"], information_loss(joints, 1.3))
    everywhere = torch.cat([torch.ones_like(known), known])
    edges = edge_mismatch(p, torch.cat([u, moved]), 3, twin.space.free, everywhere)
    torch.testing.assert_close(found["boundary"], 0.7 * edges)


def test_a_network_that_sees_each_voxel_alone_says_the_same_of_a_moved_image(monkeypatch):
    """Whatever the geometry: its maps move with the image, so their joint lies on the diagonal."""
    monkeypatch.setattr("halfmask.methods.pretraining.boundary_information.strong", lambda image: image)
    seen = []

    def spied(here, moved, reach, known):
        seen.append(((here - moved).abs() * known).amax())
        return displaced_joints(here, moved, reach, known)

    monkeypatch.setattr("halfmask.methods.pretraining.boundary_information.displaced_joints", spied)
    method = testing.begun(BoundaryInformation(testing.small(2), clusters=2, displacement=0))

    class Alone(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = torch.nn.Parameter(torch.ones(()))

        def forward(self, x):
            return 1e-2 * self.gain * x  # nearly linear softmax, so that it commutes with interpolation

    method.student = Alone()
    stepped(method, images=4)
    assert seen[0] < 1e-5


def test_an_even_window_is_refused():
    with pytest.raises(ValueError, match="window = 4 has no middle"):
        BoundaryInformation(testing.small(2), window=4)
