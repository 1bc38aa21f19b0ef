import pytest
import torch

from halfmask.augment.orientation import Orientation, orientations


@pytest.mark.parametrize("shape", [(4, 4), (4, 6), (3, 3, 3), (5, 4, 4), (2, 3, 4)], ids=str)
def test_each_keeps_the_shape_is_undone_and_differs(shape):
    x = torch.randn(2, 3, *shape)
    found = orientations(shape, [True] * len(shape))
    results = [turn(x) for turn in found]
    assert torch.equal(results[0], x)
    for turn, result in zip(found, results, strict=True):
        assert result.shape == x.shape
        assert torch.equal(turn.inverse(result), x)
        assert torch.equal(turn(x[:, 0]), result[:, 0])  # a label moves as its image does
    assert len({tuple(result.flatten().tolist()) for result in results}) == len(results)
    counts = {(4, 4): 8, (4, 6): 4, (3, 3, 3): 48, (5, 4, 4): 16, (2, 3, 4): 8}
    assert len(found) == counts[shape]
    assert [turn.mirrored for turn in found] == sorted(turn.mirrored for turn in found)
    assert sum(turn.mirrored for turn in found) == len(found) / 2


def test_squares_turn_by_quarters_and_cubes_show_their_planes_first():
    x, cube = torch.randn(4, 4), torch.randn(3, 3, 3)
    turns = [turn(x) for turn in orientations(x.shape, (True, True))[:4]]
    assert all(torch.equal(turns[i], torch.rot90(x, k)) for i, k in enumerate((0, 1, 3, 2)))
    planes = [turn(cube) for turn in orientations(cube.shape, (True,) * 3)[:3]]
    assert torch.equal(planes[1], cube.permute(1, 2, 0)) and torch.equal(planes[2], cube.permute(2, 0, 1))


def test_axes_across_thick_slices_stay_where_they_are():
    assert {turn.axes for turn in orientations((4, 4, 4), (False, True, True))} == {(0, 1, 2), (0, 2, 1)}


def test_exchange_comes_before_reversal():
    x = torch.arange(6).view(2, 3)
    assert torch.equal(Orientation((1, 0), (0,))(x), x.T.flip(0))
