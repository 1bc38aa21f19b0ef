import numpy as np
import pytest

from halfmask.data.volume import Grid
from halfmask.report.planes import closer, planes, stretched


def grid(shape, spacing=(1, 2, 3), scan=True):
    return Grid(shape, np.diag([*spacing, 1.0]), scan)


def test_planes_go_through_most_of_the_error():
    errors = np.zeros((6, 7, 8), bool)
    errors[2, 3, :3] = errors[2, 4, 1] = errors[5, 3, 1] = True
    found = {p.name: p for p in planes(grid(errors.shape), [errors])}
    assert {n: p.index for n, p in found.items()} == {"axial": 1, "coronal": 3, "sagittal": 2}
    assert found["axial"].spacing == (2, 1), "rows run along anterior, columns along right"
    assert found["coronal"].spacing == (3, 1)
    assert found["sagittal"].spacing == (3, 2)
    assert [p.index for p in planes(grid(errors.shape), [errors & False, errors])] == [1, 3, 2]
    assert [p.index for p in planes(grid(errors.shape), [errors & False])] == [4, 3, 3]


def test_up_is_superior_or_anterior_and_right_is_left():
    volume = np.zeros((6, 7, 8), int)
    volume[-1, -1, -1] = 1  # the most right, anterior and superior
    for plane in planes(grid(volume.shape), [volume]):
        assert plane.of(volume)[0, 0] == 1
    assert planes(grid(volume.shape), [volume])[1].of(volume).shape == (8, 6)


def test_a_picture_and_a_single_slice_have_one_plane():
    picture = np.arange(12).reshape(1, 3, 4)
    (plane,) = planes(grid((1, 3, 4), scan=False), [picture])
    assert (plane.name, plane.spacing) == ("picture", (2, 3))
    np.testing.assert_array_equal(plane.of(picture), picture[0])
    (plane,) = planes(grid((5, 6, 1)), [np.ones((5, 6, 1))])
    assert plane.name == "axial"


def test_the_closer_look_holds_what_is_inside_and_stays_in_the_plane():
    inside = np.zeros((40, 80), bool)
    inside[0:4, 70:80] = True
    x, y, w, h = closer(inside, (2.0, 1.0))
    assert x <= 70 and x + w == pytest.approx(80)
    assert y == 0 and h >= 8 * 1.5
    assert closer(inside & False, (2.0, 1.0)) == (0, 0, 80, 80)
    speck = np.zeros((100, 100), bool)
    speck[50, 50] = True
    assert closer(speck, (1, 1))[2:] == (25, 25)


def test_stretching_repeats_pixels():
    assert stretched(np.array([[1, 2], [3, 4]]), (4, 2)).tolist() == [[1, 2], [1, 2], [3, 4], [3, 4]]
