"""The script that makes a second domain of a data set."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from halfmask.data.formats import read
from halfmask.data.layouts import read_index
from halfmask.data.phantom import make_phantoms

SCRIPT = Path(__file__).parents[2] / "studies" / "other_domain.py"


@pytest.mark.parametrize("change", ["scanner", "camera"])
def test_half_of_the_cases_change_and_their_labels_and_splits_stay(tmp_path, monkeypatch, change):
    data, out = tmp_path / "data", tmp_path / "out"
    if change == "scanner":
        make_phantoms(data, subjects=6, labeled=3, test=2, shape=(8, 9, 8), channels=["T1"])
    else:
        for part, mode in (("images", "RGB"), ("labels", "L")):
            (data / part).mkdir(parents=True)
            for n in range(6):
                noise = np.random.default_rng(n).integers(0, 255, (12, 14, 3) if mode == "RGB" else (12, 14))
                pixels = noise if mode == "RGB" else 255 * (noise > 99)
                Image.fromarray(pixels.astype(np.uint8), mode).save(data / part / f"{n}.png")
    monkeypatch.setattr(sys, "argv", ["other_domain.py", change, str(data), str(out)])
    runpy.run_path(str(SCRIPT), run_name="__main__")
    before, after = read_index(data), read_index(out)
    assert sorted(case.domain for case in after.cases) == ["changed"] * 3 + ["original"] * 3
    for case in after.cases:
        old = before[case.name]
        assert (case.split, case.label) == (old.split, old.label and old.label.resolve())
        (image, grid), (theirs, other) = read(case.images[0]), read(old.images[0])
        assert image.shape == theirs.shape and np.allclose(grid.affine, other.affine)
        assert np.array_equal(image, theirs) == (case.domain == "original")
