import dataclasses

import pytest
import torch
import torch.nn.functional as F

from halfmask import testing
from halfmask.augment.puzzle import puzzle
from halfmask.learning.clock import Clock
from halfmask.learning.minimize import Minimizer
from halfmask.methods.pretraining import jigsaw
from halfmask.methods.pretraining.jigsaw import Jigsaw


@pytest.mark.parametrize(("dims", "grid"), [(2, None), (3, (1, 2, 2))])
def test_each_puzzle_is_told_by_its_permutation(monkeypatch, dims, grid):
    torch.manual_seed(0)
    method = testing.arranged(Jigsaw(testing.small(dims, norm="instance"), grid=grid, permutations=7))
    batch, seen = testing.batch_for(method, dims), []

    def spy(image, permutation, *given):
        seen.append((permutation, puzzle(image, permutation, *given)))
        return seen[-1][1]

    monkeypatch.setattr(jigsaw, "puzzle", spy)
    student, classifier = method.student, method.classifier
    state = {name: value.clone() for name, value in method.state_dict().items()}
    minimize = testing.minimizer(method)
    method.step(batch, minimize, Clock(1, 10))
    method.load_state_dict(state)
    ((permutations, puzzles),) = seen
    losses = []
    with torch.no_grad():
        for order, image in zip(permutations.tolist(), puzzles, strict=True):
            features, cells = student.encode(image[None])[-1][0], []
            pooled = {2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}[dims](features, method.grid)
            for channel in pooled:
                cells += channel.flatten().tolist()
            number = method.permutations.tolist().index(order)
            losses.append(F.cross_entropy(classifier(torch.tensor([cells])), torch.tensor([number])).item())
    assert minimize.figures["order"].item() == pytest.approx(sum(losses) / 4, rel=1e-4)
    assert len(set(map(tuple, permutations.tolist()))) > 1


def test_it_learns_where_the_bright_tile_is():
    torch.manual_seed(0)
    method = testing.begun(Jigsaw(testing.small(2), grid=(2, 2)))
    assert len(method.permutations) == 24 and method.permutations[0].tolist() == [0, 1, 2, 3]
    batch = testing.batch_for(method, 2)
    image = 0.2 * batch.unlabeled.image
    for tile in range(4):
        rows, columns = slice(tile // 2 * 8, tile // 2 * 8 + 8), slice(tile % 2 * 8, tile % 2 * 8 + 8)
        image[..., rows, columns] += tile - 1.5
    batch = dataclasses.replace(batch, unlabeled=batch.unlabeled.with_(image=image))
    minimize = Minimizer(method, method.optimizers(lambda p: torch.optim.Adam(p, 0.01)))
    losses = []
    for step in range(80):
        method.step(batch, minimize, Clock(step, 80))
        losses.append(minimize.losses["order"].item())
    assert sum(losses[-20:]) < 0.5 * sum(losses[:20])


def test_a_grid_that_makes_no_puzzle_is_refused():
    for grid in ((3,), (1, 1), (2, 17)):
        with pytest.raises(ValueError, match="no puzzle of a patch of 16×16"):
            Jigsaw(testing.small(2), grid=grid)
