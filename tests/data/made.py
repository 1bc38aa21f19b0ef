"""Small made-up files, cases and plans for the tests of the data room."""

import contextlib
import hashlib
import os
from pathlib import Path

import h5py
import nibabel
import numpy as np

from halfmask.data.plan import Plan
from halfmask.data.preprocess import Frame, Prepared
from halfmask.data.stored_case import StoredCase, write_case
from halfmask.data.volume import Grid


def nifti(path, array, affine=None):
    """Write (*spatial) or (C, *spatial)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.eye(4) if affine is None else affine
    nibabel.save(nibabel.Nifti1Image(np.moveaxis(array, 0, -1) if array.ndim == 4 else array, affine), path)
    return path


@contextlib.contextmanager
def only_errors_that_name(text):
    """It may go well or end in a ValueError that names the file, and in nothing else."""
    try:
        yield
    except ValueError as e:
        if str(text) not in str(e):
            raise AssertionError(f"{text} is not named") from e


def digests(folder):
    """Every file's content and time of change, by relative path."""
    return {
        str(path.relative_to(folder)): (hashlib.sha256(path.read_bytes()).hexdigest(), os.stat(path).st_mtime_ns)
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


def rotation(rng):
    """A random rotation matrix."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q if np.linalg.det(q) > 0 else -q


def random_affine(rng, oblique=True):
    """Any orientation of the axes, spacings of 0.3–4 mm, any origin."""
    turn = np.eye(3)[rng.permutation(3)] * rng.choice([-1, 1], 3)
    affine = np.eye(4)
    affine[:3, :3] = (rotation(rng) if oblique else turn) @ np.diag(rng.uniform(0.3, 4, 3))
    affine[:3, 3] = rng.uniform(-200, 200, 3)
    return affine


def ball(shape, center=0.5, radius=0.3):
    """True within an ellipsoid; center and radius as shares of the shape."""
    place = np.meshgrid(*[(np.arange(n) + 0.5) / n - center for n in shape], indexing="ij")
    return sum(p**2 for p in place) < radius**2


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / max(np.count_nonzero(a) + np.count_nonzero(b), 1)


def some_plan(**changes):
    """A 3D plan for two classes and one channel that changes nothing but the order of axes."""
    plan = {
        "channels": ["T1"], "labels": {"background": 0, "lesion": 1}, "dims": 3, "orientation": "SPL",
        "spacing": (None, None, None), "normalization": ["zscore"], "patch": (8, 8, 8), "labeled": 2, "unlabeled": 2,
        "pooling": [(2, 2, 2)], "kernels": [(3, 3, 3), (3, 3, 3)], "flips": (True, True, True),
    }  # fmt: skip
    return Plan(**{**plan, **changes})


def stored(folder, image, label=None, mean=None, sd=None):
    """Store an image (C, *spatial) as it is, named as its folder."""
    axes = (1, 2, 3)
    mean = image.mean(axes, dtype=np.float64) if mean is None else mean
    sd = image.std(axes, dtype=np.float64) if sd is None else sd
    shape = image.shape[1:]
    frame = Frame(Grid(shape, np.eye(4)), "RAS", tuple((0, n) for n in shape), shape, None)
    write_case(folder, Prepared(image, label, np.asarray(mean), np.asarray(sd), frame), key="key")
    return StoredCase(folder)


def h5(path, image=None, label=None):
    """Write arrays as the public benchmarks do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, array in {"image": image, "label": label}.items():
            if array is not None:
                file.create_dataset(name, data=array, compression="gzip")
    return path


def blob(rng, shape, classes=2):
    """An image of one brighter ellipsoid and its label, with a shell as the next class if there are three."""
    center = rng.uniform(0.4, 0.6, len(shape))
    place = np.meshgrid(*[(np.arange(n) + 0.5) / n - c for n, c in zip(shape, center, strict=True)], indexing="ij")
    distance = sum(p**2 for p in place)
    label = (distance < 0.09).astype(np.uint8)
    if classes > 2:
        label[distance < 0.03] = 2
    return (100 + 50 * label + rng.normal(0, 10, shape)).astype(np.float32), label
