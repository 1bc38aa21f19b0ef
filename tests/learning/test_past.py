import math

import pytest
import torch

from halfmask.data.batch import Images
from halfmask.learning.past import PastPredictions

CASES = {"first": (20, 24, 20), "second": (20, 24, 20)}
STEP = 1 / 255
"""Of the 8 bits."""


def begun(dims=3, decay=0.6, classes=2):
    past = PastPredictions(dims, decay)
    past.begin(CASES, classes, budget=1.0)
    return past


def crops(*corners, case=0, side=8, dims=3, matrix=None):
    """Images whose first voxels lie at these places of a case."""
    into = torch.eye(3)[:, 3 - dims :] if matrix is None else matrix
    place = torch.stack([torch.cat([into.double(), torch.tensor(c).double()[:, None]], 1) for c in corners])
    n = len(corners)
    return Images(torch.zeros(n, 1, *(side,) * dims), None, torch.full((n,), case), place)


def some(images, classes=2):
    return torch.rand(len(images), classes, *images.image.shape[2:])


def ramp(images):
    """A probability that depends on the place in the case alone, linearly; what interpolation keeps."""
    shape = images.image.shape[2:]
    voxel = torch.stack(torch.meshgrid(*map(torch.arange, shape), indexing="ij")).double()
    at = torch.einsum("bij,j...->bi...", images.place[..., :-1], voxel)
    at = at + images.place[..., -1].reshape(len(images), 3, *[1] * len(shape))
    return ((at[:, :1] + 2 * at[:, 1:2] + 3 * at[:, 2:]) / 150).float().expand(-1, 2, *shape)


def test_after_one_prediction_the_average_is_that():
    """The corrected average is p, not (1 − α) p; in the middle, where no neighbor is missing."""
    past, images = begun(), crops((4, 6, 8))
    assert not past.recall(images)[1].any()
    past.remember(images, ramp(images))
    average, seen = past.recall(images)
    assert seen.all() and average.dtype == torch.float32
    inner = (..., *[slice(1, -1)] * 3)
    torch.testing.assert_close(average[inner], ramp(images)[inner], atol=STEP, rtol=0)
    assert (average - ramp(images)).abs().max() < 4 / 150  # at the border that of half a voxel away


def test_the_average_is_bias_corrected_voxel_by_voxel():
    past, a, b = begun(), crops((0, 0, 0)), crops((4, 0, 0))
    values = torch.tensor([0.9, 0.2, 0.5])
    for images, value in zip((a, a, b), values, strict=True):
        past.remember(images, torch.full_like(some(images), value.item()))
    once, twice = values[2], (0.4 * 0.6 * values[0] + 0.4 * values[1]) / (1 - 0.6**2)
    thrice = (0.4 * 0.36 * values[0] + 0.4 * 0.6 * values[1] + 0.4 * values[2]) / (1 - 0.6**3)
    table = past.cases[0][:, :, 0, 0].float()
    for rows, value, count in ((slice(0, 2), twice, 2), (slice(2, 4), thrice, 3), (slice(4, 6), once, 1)):
        torch.testing.assert_close(table[:2, rows] / 255, value.expand(2, 2), atol=1.5 * STEP, rtol=0)
        assert (table[2, rows] == count).all()
    assert not table[:, 6:].any()


@pytest.mark.parametrize("dims", [2, 3])
def test_a_cell_holds_the_mean_of_the_voxels_in_it_however_they_lie(dims):
    """Against a loop over the voxels of a turned, scaled and partly outside image."""
    torch.manual_seed(0)
    angle = 0.4
    turn = torch.eye(3)
    turn[1:, 1:] = 1.1 * torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    past = begun(dims)
    images = crops((3, -2, 15), (16, 3, 1), side=7, dims=dims, matrix=turn[:, 3 - dims :])
    p = some(images)
    past.remember(images, p)
    sides = (2 if dims == 3 else 1, 2, 2)
    found: dict[tuple[int, ...], list] = {}
    for b in range(2):
        each: dict[tuple[int, ...], list] = {}
        for voxel in torch.ones(images.image.shape[2:]).nonzero():
            at = images.place[b, :, :-1] @ voxel.double() + images.place[b, :, -1]
            cell = tuple(math.floor((x + 0.5) / n) for x, n in zip(at.tolist(), sides, strict=True))
            each.setdefault(cell, []).append(p[(b, slice(None), *voxel)])
        found |= {(*cell, b): values for cell, values in each.items()}
    table = past.cases[0]
    assert table.shape == (3, *(20 // n if i != 1 else 24 // n for i, n in enumerate(sides)))
    inside = 0
    for (*cell, b), values in found.items():
        if all(0 <= c < n for c, n in zip(cell, table.shape[1:], strict=True)) and (*cell, 1 - b) not in found:
            held = table[(slice(None), *cell)]
            assert held[2] == 1
            torch.testing.assert_close(held[:2] / 255, torch.stack(values).mean(0), atol=0.51 * STEP, rtol=0)
            inside += 1
    assert inside > 10 and (table[2] > 0).sum() == inside
    assert not past.cases[1].any()


@pytest.mark.parametrize("dims", [2, 3])
def test_another_image_of_the_case_finds_it_at_its_place(dims):
    """Mirrored, axes exchanged and moved by an odd number of voxels, it sees the same where both overlap."""
    past = begun(dims)
    images = crops((4, 6, 4), side=10, dims=dims)
    past.remember(images, ramp(images))
    flip = torch.tensor([[1, 0, 0], [0, 0, 1], [0, -1, 0]])
    other = crops((4, 8, 15), side=8, dims=dims, matrix=flip[:, 3 - dims :])
    average, seen = past.recall(other)
    axes = [torch.arange(8)] * dims
    rows, columns = torch.meshgrid(*axes, indexing="ij")[-2:]
    y, x = 8 + columns, 15 - rows  # where they lie in the case
    within = ((y >= 6) & (y < 16) & (x >= 4) & (x < 14)).expand(1, 1, *[8] * dims)
    assert torch.equal(seen, within)
    core = within & ((y > 6) & (y < 15) & (x > 4) & (x < 13))
    if dims == 3:
        core = core & ((axes[0] > 0) & (axes[0] < 7)).view(1, 1, -1, 1, 1)
    torch.testing.assert_close(average[:, :1][core], ramp(other)[:, :1][core], atol=STEP, rtol=0)
    assert not past.recall(crops((4, 8, 15), case=1, side=8, dims=dims))[1].any()
    if dims == 2:
        assert not past.recall(crops((5, 6, 4), side=10, dims=2))[1].any()  # the next slice


def test_two_images_of_one_case_in_a_batch_both_count():
    past, images = begun(), crops((0, 0, 0), (0, 0, 0))
    past.remember(images, torch.stack([torch.full((2, 8, 8, 8), 0.2), torch.full((2, 8, 8, 8), 0.8)]))
    assert (past.cases[0][2, :4, :4, :4] == 2).all()
    expected = (0.6 * 0.2 + 0.8) / 1.6
    torch.testing.assert_close(past.recall(images)[0], torch.full((2, 2, 8, 8, 8), expected), atol=STEP, rtol=0)


def test_the_count_stops_before_it_would_begin_anew():
    past, images = begun(decay=1.0), crops((0, 0, 0), side=2)
    for _ in range(257):
        past.remember(images, torch.ones(1, 2, 2, 2, 2))
    assert past.cases[0][:, 0, 0, 0].tolist() == [255, 255, 255]


def test_the_state_carries_it_and_loads_without_the_cases():
    past, images = begun(), crops((4, 6, 8))
    past.remember(images, some(images))
    twin, stranger = begun(), PastPredictions(3, 0.6)
    for other in (twin, stranger):
        other.load_state_dict(past.state_dict())
        assert torch.equal(other.state_dict()["_extra_state"], past.table)
    assert torch.equal(twin.recall(images)[0], past.recall(images)[0])
    twin.remember(images, some(images))
    assert not torch.equal(twin.table, past.table)
    with pytest.raises(ValueError, match="past predictions of 7200 bytes do not fit these cases, of 9600"):
        begun(classes=3).load_state_dict(past.state_dict())


def test_a_table_beyond_the_budget_is_refused_with_its_size():
    with pytest.raises(ValueError, match=r"of 100 cases would take 0.745 GiB .*, the budget is 0.5; raise it"):
        PastPredictions(3, 0.6).begin({str(i): (200, 200, 200) for i in range(100)}, 7, budget=0.5)
