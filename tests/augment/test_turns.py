"""Images are turned, not mirrored, and keep their voxels."""

import pytest
import torch

from halfmask.augment.turns import Turns

CUBE, SAME = (6, 6, 6), (1.0, 1.0, 1.0)


@pytest.mark.parametrize(("which", "count"), [("plane", 4), ("planes", 10), ("all", 24)])
def test_a_cube_has_so_many_rotations_and_none_is_a_mirroring(which, count):
    turns = Turns.of(CUBE, SAME, which)
    assert turns.shape == CUBE and len(turns) == count
    where = torch.stack(torch.meshgrid(*[torch.arange(6.0) - 2.5] * 3, indexing="ij"))[None]
    matrices = []
    for number in range(count):
        moved = turns(where, torch.tensor([number]))
        at = lambda *voxel, moved=moved: moved[(0, slice(None), *voxel)]
        matrices.append(torch.stack([at(1, 0, 0) - at(0, 0, 0), at(0, 1, 0) - at(0, 0, 0), at(0, 0, 1) - at(0, 0, 0)]))
        assert torch.linalg.det(matrices[-1]) == pytest.approx(1)
        if which == "planes":
            assert (matrices[-1].diagonal() == 1).any()  # about one of the three axes
        if which == "plane":
            assert matrices[-1][0, 0] == 1  # about the first
    assert len({tuple(m.flatten().tolist()) for m in matrices}) == count
    assert torch.equal(matrices[0], torch.eye(3))


def test_a_square_turns_by_quarters():
    x = torch.randn(4, 2, 5, 5)
    turns = Turns.of((5, 5), (1.0, 1.1), "all")
    turned = turns(x, torch.tensor([3, 1, 0, 2]))
    quarters = [torch.stack([torch.rot90(x[i], k, (1, 2)) for k in range(4)]) for i in range(4)]
    assert torch.equal(turned[2], x[2])
    found = [next(k for k in range(4) if torch.equal(quarters[i][k], turned[i])) for i in range(4)]
    assert sorted(found) == [0, 1, 2, 3]  # each image by its own


@pytest.mark.parametrize(
    ("patch", "spacing", "which", "takes", "shape", "count"),
    [
        ((12, 16), (1.0, 1.0), "plane", lambda s: True, (12, 12), 4),
        ((12, 16), (1.0, 1.0), "plane", lambda s: all(n % 8 == 0 for n in s), (8, 8), 4),
        ((12, 16), (1.0, 1.0), "plane", lambda s: tuple(s) == (12, 16), (12, 16), 2),  # as UNETR: halves alone
        ((16, 16), (3.0, 1.0), "plane", lambda s: True, (16, 16), 2),
        ((4, 16, 12), (5.0, 1.0, 1.0), "plane", lambda s: True, (4, 12, 12), 4),
        ((12, 12, 12), (5.0, 1.0, 1.0), "planes", lambda s: True, (12, 12, 12), 6),
        ((12, 12, 12), (5.0, 1.0, 1.0), "all", lambda s: True, (12, 12, 12), 8),
        ((8, 12, 12), (1.0, 1.0, 1.0), "all", lambda s: True, (8, 8, 8), 24),
        ((4, 16, 16), (1.0, 1.0, 1.0), "all", lambda s: True, (4, 16, 16), 8),  # a cube would be too little of it
        ((12, 12, 4), (1.0, 1.0, 5.0), "plane", lambda s: True, (12, 12, 4), 4),  # not that of the last two axes
        ((6, 8, 12), (1.0, 1.0, 1.0), "all", lambda s: tuple(s) == (6, 8, 12), (6, 8, 12), 4),
    ],
)
def test_other_sides_and_spacings_turn_as_far_as_they_can(patch, spacing, which, takes, shape, count):
    turns = Turns.of(patch, spacing, which, takes)
    assert turns.shape == shape and len(turns) == count
    x = torch.randn(count, 1, *patch)
    turned = turns(x, torch.arange(count))
    assert turned.shape == (count, 1, *shape)
    cut = [slice((n - m) // 2, (n - m) // 2 + m) for n, m in zip(patch, shape, strict=True)]
    assert torch.equal(turned[0], x[(0, slice(None), *cut)])


def test_the_copies_of_an_image_are_turned_differently():
    drawn = Turns.of(CUBE, SAME, "planes").draw(200, copies=4)
    assert drawn.shape == (4, 200) and all(len(set(each.tolist())) == 4 for each in drawn.T)
    assert set(drawn[0].tolist()) == set(range(10))
