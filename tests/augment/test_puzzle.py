"""Permutations differ much, and tiles go where they say."""

import itertools

import pytest
import torch

from halfmask.augment.puzzle import distant_permutations, puzzle


@pytest.mark.parametrize(("tiles", "count", "least"), [(4, 24, 2), (8, 40, 6), (9, 100, 6), (27, 60, 24)])
def test_permutations_are_distant_and_begin_with_none(tiles, count, least):
    found = torch.tensor(distant_permutations(tiles, count))
    assert found.shape == (count, tiles) and found[0].tolist() == list(range(tiles))
    assert (found.sort(1).values == torch.arange(tiles)).all()
    distances = [int((a != b).sum()) for a, b in itertools.combinations(found, 2)]
    assert min(distances) >= least and sum(distances) / len(distances) > tiles - 1.2
    assert found.tolist() == torch.tensor(distant_permutations.__wrapped__(tiles, count)).tolist()


def test_there_are_no_more_than_there_are():
    assert len(distant_permutations(3, 100)) == 6


@pytest.mark.parametrize(("shape", "grid"), [((13, 10), (3, 2)), ((8, 9, 7), (2, 3, 1))], ids=str)
def test_tiles_go_where_the_permutation_says(shape, grid):
    tiles = torch.tensor(grid).prod().item()
    image = torch.randn(3, 2, *shape)
    permutation = torch.stack([torch.randperm(tiles) for _ in image])
    made = puzzle(image, permutation, grid, gap=0.0)
    sides = [n // k for n, k in zip(shape, grid, strict=True)]
    corners = list(itertools.product(*map(range, grid)))
    box = lambda corner: [slice(c * s, (c + 1) * s) for c, s in zip(corner, sides, strict=True)]
    slow = torch.zeros_like(image)
    for b in range(3):
        for cell, tile in enumerate(permutation[b].tolist()):
            slow[(b, slice(None), *box(corners[cell]))] = image[(b, slice(None), *box(corners[tile]))]
    assert torch.equal(made, slow) and made.shape == image.shape


def test_tiles_are_cut_at_any_place_of_their_cell_and_do_not_touch():
    image = (1 + torch.arange(24 * 24.0)).view(1, 1, 24, 24).repeat(50, 1, 1, 1)
    permutation = torch.stack([torch.randperm(4) for _ in image])
    made = puzzle(image, permutation, (2, 2), gap=0.25)
    seen = (made != 0).flatten(1)
    assert (seen.sum(1) == 4 * 9 * 9).all() and torch.equal(seen[0], seen[1])
    assert not made[..., 11:13].any() and not made[..., 11:13, :].any()
    starts = set()
    for b in range(50):
        for cell, tile in enumerate(permutation[b].tolist()):
            part = made[b, 0].unflatten(0, (2, 12)).unflatten(2, (2, 12))[cell // 2, :, cell % 2]
            rows, columns = ((part[part != 0] - 1) // 24).long(), ((part[part != 0] - 1) % 24).long()
            assert (rows // 12 == tile // 2).all() and (columns // 12 == tile % 2).all()
            assert rows.max() - rows.min() == columns.max() - columns.min() == 8
            starts.add((int(rows.min() % 12), int(columns.min() % 12)))
    assert len(starts) == 16


def test_an_axis_of_one_cell_is_kept_whole():
    made = puzzle(torch.ones(2, 1, 8, 8, 10), torch.tensor([[1, 0], [0, 1]]), (1, 2, 1), gap=0.25)
    assert torch.equal(made.any(3), torch.ones(2, 1, 8, 10, dtype=torch.bool)) and made.sum() == 2 * 8 * 6 * 10


def test_mixed_each_tile_shows_one_channel():
    image = torch.rand(30, 3, 8, 8) + 1
    order = torch.arange(4).repeat(30, 1)
    made, plain = puzzle(image, order, (2, 2), 0.0, mix=True), puzzle(image, order, (2, 2), 0.0)
    shown = made.unflatten(3, (2, 4)).unflatten(2, (2, 4)) != 0
    cells = shown.flatten(0, 1).permute(0, 1, 3, 2, 4).flatten(3)
    assert torch.equal(cells.all(3), cells.any(3))
    channels = cells.any(3).view(30, 3, 4)
    assert (channels.sum(1) == 1).all() and (channels.float().mean((0, 2)) > 0.2).all()
    assert (channels != channels[:, :, :1]).any()
    assert torch.equal(made[made != 0], plain[made != 0])
