import base64
import io
import re
from pathlib import Path

import nibabel
import numpy as np
import pytest
from entries import entry
from PIL import Image

from halfmask.evaluation.note import Note
from halfmask.report.pictures import case_pictures


def decoded(definition):
    """The picture that a definition holds, with its size in mm (height, width)."""
    data = re.search(r"base64,([^\"]+)", definition).group(1)
    size = [float(re.search(rf'{side}="([\d.]+)"', definition).group(1)) for side in ("height", "width")]
    return Image.open(io.BytesIO(base64.b64decode(data))), size


@pytest.fixture
def runs(tmp_path):
    """A bright box up, front and right in a scan whose axes run to posterior, inferior and left; two runs on it."""
    box = np.zeros((12, 8, 10), np.uint8)
    box[1:5, 1:3, 2:4] = 1
    affine = np.array([[0, 0, -1, 0], [-2, 0, 0, 0], [0, -3, 0, 0], [0, 0, 0, 1.0]])
    save = lambda array, name: nibabel.save(nibabel.Nifti1Image(array, affine), tmp_path / name)
    save((100 * box + 1).astype(np.int16), "image.nii.gz")
    save(box, "label.nii.gz")
    made = []
    for name, mask in (("good", box), ("empty", box * 0)):
        (tmp_path / name).mkdir()
        save(mask, f"{name}/a.nii.gz")
        run = entry(name, [float(mask.any())])
        run.masks = tmp_path / name
        run.prediction = {"images": {"a": [str(tmp_path / "image.nii.gz")]}}
        labels = {"a": tmp_path / "label.nii.gz"}
        run.evaluation = Note(Path(), Path(), labels, {"box": (1,)}, None, run.masks)
        made.append(run)
    return made


def test_marks_lie_on_the_image_whatever_way_its_axes_run(runs):
    image, good, empty = case_pictures("a", runs, "c0")
    assert [len(row.cells) for row in (image, good, empty)] == [3, 3, 3]
    for seen, found, missed in zip(image.definitions, good.definitions, empty.definitions, strict=True):
        gray, size = decoded(seen)
        marked, same = decoded(found)
        assert size == same
        assert marked.size[0] / marked.size[1] == pytest.approx(size[1] / size[0], rel=0.02), "true aspect"
        bright = np.asarray(gray.resize(marked.size, Image.Resampling.NEAREST)) > 128
        opacity = np.asarray(marked.convert("RGBA"))[..., 3]
        assert bright.any()
        assert ((opacity > 0) == bright).mean() > 0.99
        h, w = bright.shape
        assert bright[: h // 2, : w // 2].sum() > bright.sum() / 2, "up, and front or right to the left"
        assert (np.asarray(decoded(missed)[0].convert("RGBA"))[bright][:, :3] == (213, 94, 0)).mean() > 0.95


def test_what_a_run_lacks_is_told_and_the_others_are_shown(runs):
    (runs[1].masks / "a.nii.gz").unlink()
    image, good, empty = case_pictures("a", runs, "c0")
    assert image.cells and good.cells and not empty.cells
    assert "holds no mask of it" in empty.note
    runs[0].prediction = {}
    with pytest.raises(ValueError, match="do not tell of which images they are; predict anew"):
        case_pictures("a", runs, "c0")
