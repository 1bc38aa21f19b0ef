"""Maps of saliency against masks."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from halfmask.data.index import Case, Index
from halfmask.evaluation import saliency

MASK = np.zeros((8, 8), bool)
MASK[2:4, 2:6] = True


def test_a_map_that_is_the_mask_lies_in_it_and_a_flat_one_as_chance_has_it():
    assert saliency.measure(MASK.astype(float), MASK) == {"pointing": 1, "energy": 1, "area": 8 / 64}
    flat = saliency.measure(np.ones((8, 8)), MASK)
    assert flat["energy"] == flat["area"] == flat["pointing"] == 8 / 64


def test_shares_against_slow_loops():
    values = np.random.default_rng(0).random((8, 8))
    inside = sum(values[i, j] for i in range(8) for j in range(8) if MASK[i, j])
    found = saliency.measure(values, MASK)
    assert found["energy"] == pytest.approx(inside / values.sum())
    assert found["pointing"] == MASK[np.unravel_index(values.argmax(), values.shape)]


def test_a_map_of_nothing_is_undefined():
    found = saliency.measure(np.zeros((8, 8)), MASK)
    assert math.isnan(found["pointing"]) and math.isnan(found["energy"])


def written(tmp_path, shape=(8, 8)):
    folder = tmp_path / "out/saliency/gradient"
    folder.mkdir(parents=True)
    for name, mask in (("a", MASK), ("b", np.zeros((8, 8), bool)), ("c", MASK)):
        Image.fromarray(np.uint8(255 * mask)).save(tmp_path / f"{name}-mask.png")
        Image.fromarray(np.full(shape, 7, np.uint8)).save(folder / f"{name}.png")
    cases = [Case(name, (), mask=tmp_path / f"{name}-mask.png") for name in "ab"]
    return tmp_path / "out", Index(Path(), (*cases, Case("c", ())))


def test_cases_without_a_mask_or_with_an_empty_one_are_left_out(tmp_path):
    table = saliency.measured(*written(tmp_path))
    assert table[["case", "kind"]].values.tolist() == [["a", "gradient"]]
    assert table["energy"].tolist() == [8 / 64]


def test_what_nobody_annotated_is_no_lesion(tmp_path):
    folder, index = written(tmp_path)
    assert saliency.measured(folder, dataclasses.replace(index, ignore=255)).empty


def test_a_map_of_another_shape_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"case 'a'.*shape \(1, 4, 8\), its mask \(1, 8, 8\)"):
        saliency.measured(*written(tmp_path, (4, 8)))
