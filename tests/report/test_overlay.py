import io

import numpy as np
from PIL import Image

from halfmask.report.overlay import ALARM, COLORS, HIT, MISS, NOTHING, drawn, marks

TUMOR = {"tumor": (1,)}


def test_hits_misses_and_false_alarms_by_hand():
    label = np.array([[1, 1, 0, 0, 9]])
    prediction = np.array([[1, 0, 1, 0, 1]])
    assert marks(prediction, label, TUMOR, 9).tolist() == [[HIT, MISS, ALARM, NOTHING, NOTHING]]
    assert marks(label * 0, label * 0, TUMOR, None).tolist() == [[NOTHING] * 5]


def test_a_wrong_structure_is_a_miss_and_regions_overlap():
    label, prediction = np.array([1, 2, 0, 2]), np.array([2, 2, 2, 1])
    assert marks(prediction, label, {"a": (1,), "b": (2,)}, None).tolist() == [MISS, HIT, ALARM, MISS]
    regions = {"whole": (1, 2), "core": (2,)}
    assert marks(prediction, label, regions, None).tolist() == [ALARM, HIT, ALARM, MISS], "core where there is none"


def test_colors_lie_at_the_right_pixels_and_patterns_differ():
    found = np.array([[HIT, MISS], [ALARM, NOTHING]], np.uint8)
    file = io.BytesIO()
    drawn(found, (1, 1)).save(file, "PNG")
    picture = np.asarray(Image.open(file).convert("RGBA"))
    h, w = picture.shape[:2]
    assert h == w
    parts = {mark: picture[r * h // 2 : (r + 1) * h // 2, c * w // 2 : (c + 1) * w // 2]
             for mark, (r, c) in {HIT: (0, 0), MISS: (0, 1), ALARM: (1, 0)}.items()}  # fmt: skip
    assert not picture[h // 2 :, w // 2 :, 3].any(), "nothing is transparent"
    strong = {}
    for mark, part in parts.items():
        assert (part[..., :3] == COLORS[mark]).all()
        assert (part[..., 3] > 0).all(), "the image shows through, but all is marked"
        strong[mark] = (part[8:-8, 8:-8, 3] == 255).mean()
        assert (part[h // 2 - 1, :, 3] == 255).all() or mark == ALARM, "an outline where it ends"
    assert strong[HIT] == 0
    assert 0.2 < strong[MISS] < 0.3, "striped"
    assert 0.08 < strong[ALARM] < 0.15, "dotted"


def test_voxels_have_their_true_aspect():
    assert drawn(np.zeros((4, 8), np.uint8), (10, 2.5)).size == (240, 480)
