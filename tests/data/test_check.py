"""Valid data sets in every layout, broken in several ways at once: every fault must be told, and nothing else."""

import dataclasses
import itertools
import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import nibabel
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from made import digests, h5, nifti
from PIL import Image

from halfmask.data.check import check, examine, faults_of
from halfmask.data.fingerprint import fingerprint
from halfmask.data.formats import read
from halfmask.data.layouts import read_index
from halfmask.data.preprocess import read_case

SHAPE = (6, 5, 4)
AFFINE = np.diag([-1.0, 2.0, 3.0, 1.0])
NAMES = ("anna", "bert", "cleo", "dora", "emil", "finn", "gina", "hugo")
LAYOUTS = ("decathlon", "folders", "channels", "table")


@dataclass
class Made:
    """A data set on disk: each case's files, and rows that the table or dataset.json is written from."""

    root: object
    layout: str
    images: dict = field(default_factory=dict)
    labels: dict = field(default_factory=dict)
    rows: list = field(default_factory=list)

    def describe(self):
        about = {"labels": {"background": 0, "tumor": 1, "cyst": 2, "ignore": 9}}
        if self.layout == "decathlon":
            entry = lambda row: {"image": f"imagesTr/{row['name']}.nii.gz", "label": f"labelsTr/{row['name']}.nii.gz"}
            about |= {"training": [entry(row) for row in self.rows], "modality": {"0": "T1", "1": "T2"}}
            (self.root / "dataset.json").write_text(json.dumps(about))
            return
        (self.root / "dataset.yaml").write_text(json.dumps(about))
        if self.layout == "table":
            lines = [
                f"{r['name']},files/{r['file']}_a.nii.gz,files/{r['file']}_b.nii.gz,files/{r['file']}_l.nii.gz,"
                f"{r.get('group', '')},{r.get('split', '')}"
                for r in self.rows
            ]
            (self.root / "cases.csv").write_text("\n".join(["case,image_a,image_b,label,group,split", *lines]))


def make(root, layout):
    made, rng = Made(root, layout), np.random.default_rng(0)
    for name in NAMES:
        image = rng.normal(size=(1 if layout == "folders" else 2, *SHAPE)).astype(np.float32)
        files = {
            "decathlon": [f"imagesTr/{name}.nii.gz"],
            "folders": [f"images/{name}.nii.gz"],
            "channels": [f"images/{name}_0000.nii.gz", f"images/{name}_0001.nii.gz"],
            "table": [f"files/{name}_a.nii.gz", f"files/{name}_b.nii.gz"],
        }[layout]
        parts = [image] if len(files) == 1 else image
        made.images[name] = [nifti(root / f, part, AFFINE) for f, part in zip(files, parts, strict=True)]
        label = {"decathlon": f"labelsTr/{name}.nii.gz", "table": f"files/{name}_l.nii.gz"}.get(
            layout, f"labels/{name}.nii.gz"
        )
        values = rng.choice([0, 1, 2, 9], SHAPE).astype(np.uint8)
        made.labels[name] = nifti(root / label, values, AFFINE)
        made.rows.append({"name": name, "file": name})
    made.describe()
    return made


def rewrite(path, change, affine=None):
    image = nibabel.load(path)
    array = change(np.asanyarray(image.dataobj).copy())
    nibabel.save(nibabel.Nifti1Image(array, image.affine if affine is None else affine), path)


def with_voxel(value):
    def change(array):
        array = array.astype(np.float32)
        array[tuple(n - 1 for n in array.shape)] = value
        return array

    return change


# Each breaks one case and gives the faults to expect: severity, case, file, part of what is told.


def truncated(made, name):
    file = made.images[name][0]
    file.write_bytes(file.read_bytes()[:100])
    return [("error", name, file, "cannot be read")]


def text_as_label(made, name):
    made.labels[name].write_text("to do")
    return [("error", name, made.labels[name], "cannot be read")]


def missing(made, name):
    if made.layout in ("folders", "channels"):
        return []
    made.images[name][-1].unlink()
    return [("error", name, made.images[name][-1], "there is no such file")]


def label_shape(made, name):
    rewrite(made.labels[name], lambda a: a[:-1])
    return [("error", name, made.labels[name], "has shape (5, 5, 4)")]


def label_moved(made, name):
    affine = AFFINE.copy()
    affine[1, 3] += 0.11  # the finest spacing is 1
    rewrite(made.labels[name], lambda a: a, affine)
    return [("error", name, made.labels[name], "lies up to 0.11 mm from")]


def label_nudged(made, name):
    affine = AFFINE.copy()
    affine[1, 3] += 0.09
    rewrite(made.labels[name], lambda a: a, affine)
    return []


def label_spacing(made, name):
    rewrite(made.labels[name], lambda a: a, AFFINE @ np.diag([1, 1, 1.5, 1]))
    return [("error", name, made.labels[name], "1×2×4.5")]


def label_flipped(made, name):
    rewrite(made.labels[name], lambda a: a, np.diag([1.0, 2, 3, 1]))
    return [("error", name, made.labels[name], "lies up to 10.00 mm")]


def not_a_number(made, name):
    rewrite(made.images[name][-1], with_voxel(np.nan))
    return [("error", name, made.images[name][-1], "1 voxels that are NaN or infinite")]


def fraction(made, name):
    rewrite(made.labels[name], with_voxel(0.5))
    return [("error", name, made.labels[name], "not whole numbers: [0.5]")]


def undeclared(made, name):
    rewrite(made.labels[name], with_voxel(77))
    return [("error", name, made.labels[name], "[77] are not declared")]


def two_labels(made, name):
    rewrite(made.labels[name], lambda a: np.stack([a, a], -1))
    return [("error", name, made.labels[name], "the label has 2 channels")]


def empty_label(made, name):
    rewrite(made.labels[name], lambda a: np.where(a == 9, 9, 0).astype(np.uint8))
    return [("warning", name, made.labels[name], "the label is empty")]


def constant(made, name):
    file = made.images[name][-1]

    def change(a):
        a[..., -1] = 3
        return a if made.layout == "decathlon" else 0 * a + 3

    rewrite(file, change)
    return [("warning", name, file, "is 3.0 everywhere")]


def duplicate(made, name):
    for mine, annas in zip(made.images[name], made.images["anna"], strict=True):
        mine.write_bytes(annas.read_bytes())
    return [("warning", name, "", "the same image as case 'anna'")]


def other_channels(made, name):
    if made.layout == "channels":  # its last channel is gone
        made.images[name][1].unlink()
        return [("error", name, "images", "channel 0001 is missing")]
    rewrite(made.images[name][0], lambda a: np.stack([a.reshape(*SHAPE, -1)[..., 0]] * 3, -1))
    return [("error", name, made.images[name][0], f"has {4 if made.layout == 'table' else 3} channels")]


def orphan(made, name):
    if made.layout == "table":
        return []
    file = made.labels[name].with_name(f"lonely_{name}.nii.gz")
    file.write_bytes(made.labels[name].read_bytes())
    return [("error", f"lonely_{name}", file, "a label without an image")]


def straddling(made, name):
    if made.layout != "table":
        return []
    row = made.rows[NAMES.index(name)]
    row |= {"group": "family", "split": "test"}
    made.rows.append({"name": f"{name} again", "file": "hugo", "group": "family", "split": "train"})
    return [
        ("error", "", "", f"group 'family' is in two splits: {name} (test), {name} again (train)"),
        ("warning", f"{name} again", "", "the same image as case 'hugo'"),
    ]


def unknown_split(made, name):
    if made.layout != "table":
        return []
    made.rows[NAMES.index(name)]["split"] = "tset"
    return [("error", name, "cases.csv", "split is 'tset'")]


def same_name(made, name):
    if made.layout not in ("table", "decathlon"):
        return []
    made.rows.append({"name": name, "file": "hugo"})
    return [("error", name, "hugo" if made.layout == "table" else name, "the name is used for")]


FAULTS = (
    truncated, text_as_label, missing, label_shape, label_moved, label_nudged, label_spacing, label_flipped,
    not_a_number, fraction, undeclared, two_labels, empty_label, constant, duplicate, other_channels, orphan,
    straddling, unknown_split, same_name,
)  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_valid_data_set_has_no_faults(tmp_path, layout):
    made = make(tmp_path, layout)
    index = read_index(tmp_path)
    assert check(index) == []
    assert [c.name for c in index.cases] == list(NAMES)
    with ThreadPoolExecutor(2) as executor:
        findings = examine(index, executor=executor)
    assert list(findings) == list(NAMES)
    image, label, grid = read_case(index["bert"])
    assert findings["bert"].fingerprint == fingerprint(image, label, grid, 9)
    print_ = findings["bert"].fingerprint
    assert (print_.shape, print_.spacing, print_.axes, print_.values) == (SHAPE, (1, 2, 3), "LAS", (0, 1, 2))
    assert all(np.isclose(v, image[0]).any() for v in print_.intensities[0])
    np.testing.assert_array_equal(label, read(made.labels["bert"])[0][0])


@settings(max_examples=100, deadline=None)
@given(
    layout=st.sampled_from(LAYOUTS),
    faults=st.lists(st.sampled_from(FAULTS), min_size=1, max_size=6, unique=True),
)
def test_every_fault_is_told(tmp_path_factory, layout, faults):
    root = tmp_path_factory.mktemp("data")
    made = make(root, layout)
    expected = [e for name, fault in zip(NAMES[1:-1], faults, strict=False) for e in fault(made, name)]
    made.describe()
    before = digests(root)
    found = check(read_index(root))
    assert digests(root) == before, "it changes nothing"
    told = "\n".join(map(str, found))
    for severity, case, file, what in expected:
        same = [f for f in found if (f.severity, f.case) == (severity, case) and str(file) in f.file and what in f.what]
        assert len(same) == 1, f"{severity} {case} {file} {what}\n{told}"
    assert len(found) == len(expected), told
    assert [f.severity for f in found] == sorted(f.severity for f in found), "errors first"
    assert all(f.remedy for f in found)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_fault_alone(tmp_path_factory, layout, fault):
    test_every_fault_is_told.hypothesis.inner_test(tmp_path_factory, layout, [fault])


def test_several_faults_of_one_case(tmp_path):
    made = make(tmp_path, "table")
    truncated(made, "bert")
    not_a_number(made, "bert")
    fraction(made, "bert")
    found = [f.what for f in check(read_index(tmp_path))]
    assert len(found) == 3, found


def test_complex_numbers_are_no_image(tmp_path):
    made = make(tmp_path, "folders")
    nifti(made.images["bert"][0], np.ones(SHAPE, np.complex64), AFFINE)
    (fault,) = check(read_index(tmp_path))
    assert (fault.severity, fault.case) == ("error", "bert") and "complex64" in fault.what


def test_an_error_in_the_checking_of_one_case_does_not_hide_the_others(tmp_path, monkeypatch):
    from halfmask.data import check_case as module

    def fail(*args, **kwargs):
        raise MemoryError("too large")

    made = make(tmp_path, "folders")
    truncated(made, "bert")
    monkeypatch.setattr(module, "fingerprint", fail)
    found = check(read_index(tmp_path))
    assert [f.case for f in found] == list(NAMES)
    assert "could not be checked (MemoryError: too large)" in found[0].what


@pytest.mark.parametrize(
    ("names", "grouped"),
    [
        (["patient001_frame01", "patient001_frame12", "patient002_frame01", "patient002_frame09"], True),
        (["sub-01_ses-1", "sub-01_ses-2", "sub-02_ses-1", "sub-02_ses-2", "sub-03_ses-1"], True),
        (["case_001", "case_002", "case_003"], False),
        (["hippocampus_1", "hippocampus_10", "hippocampus_2"], False),
        (["2019-a_b", "x", "y", "z", "2019-a_c"], False),
        (["ISIC_0024306", "ISIC_0024307"], False),
        (["BraTS19_2013_0_1", "BraTS19_CBICA_AAB_1", "BraTS19_TCIA01_131_1", "BraTS19_TCIA01_147_1"], False),
    ],
)
def test_names_that_look_grouped(tmp_path, names, grouped):
    for number, name in enumerate(names):
        nifti(tmp_path / "images" / f"{name}.nii.gz", np.random.default_rng(number).normal(size=SHAPE))
    found = check(read_index(tmp_path))
    assert [f.severity for f in found] == ["warning"] * grouped
    assert not grouped or ("look like several scans" in found[0].what and "--group" in found[0].remedy)
    assert check(read_index(tmp_path, group="^.*")) == [], "told how they are grouped, it is content"


def product(*parts):
    return ["".join(name) for name in itertools.product(*parts)]


@pytest.mark.parametrize(
    ("names", "advice", "groups"),
    [
        (product(["patient001", "patient002"], ["_frame01", "_frame12"]), r"^(patient\d+)", 2),
        (
            product(["patient001", "patient002"], ["_frame01", "_frame12"], ["_slice_0", "_slice_1"]),
            r"^(patient\d+)",
            2,
        ),
        (product([f"p{n}" for n in range(3)], [f"_slice_{n:03d}" for n in range(150)]), r"^(p\d+)", 3),
        (product(["study2.sub-01", "study2.sub-12"], ["_ses-1", "_ses-2"]), r"^(study\d+\.sub-\d+)", 2),
        ([*product(["a1", "b2", "b3"], ["_x", "_y"]), "c"], None, 4),
        (product(["3rd", "4th"], ["_left", "_right"]), None, 2),
    ],
)
def test_names_are_to_be_grouped_by_the_shortest_part_that_repeats(tmp_path, names, advice, groups):
    """By patient, not by frame: else one patient's frames would lie in two splits. The advice fits every name."""
    (tmp_path / "images").mkdir()
    for name in names:
        (tmp_path / "images" / f"{name}.nii").touch()
    (fault,) = faults_of(read_index(tmp_path), {})
    found = re.search("--group '(.*)' or", fault.remedy)[1]
    assert advice in (found, None)
    cases = read_index(tmp_path, group=found).cases
    assert len({case.group or case.name for case in cases}) == groups
    assert all(case.name.startswith(case.group or case.name) for case in cases)


def test_what_was_left_out_in_reading_is_told_once(tmp_path):
    """Alpha of two images in one warning, a label of three equal channels in another; of h5 files the spacing."""
    rng = np.random.default_rng(0)
    for name in "ab":
        colors = rng.integers(0, 255, (8, 9, 4)).astype(np.uint8)
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(colors).save(tmp_path / "images" / f"{name}.png")
    (tmp_path / "labels").mkdir()
    Image.fromarray(np.dstack([np.eye(8, 9, dtype=np.uint8)] * 3)).save(tmp_path / "labels" / "a.png")
    index = read_index(tmp_path)
    found = check(index)
    assert [(f.severity, f.case, f.what) for f in found] == [
        ("warning", "", "2 files, a.png the first: each has an alpha channel, which is left out"),
        ("warning", "a", "is a color picture of three equal channels, of which one is read"),
    ]
    assert examine(index)["a"].channels == 3
    for name in "ab":
        h5(tmp_path / "h5" / f"{name}.h5", rng.normal(size=SHAPE), rng.integers(0, 2, SHAPE))
    (fault,) = check(read_index(tmp_path / "h5"))
    assert "2 files, a.h5 the first: each says nothing of its spacing" in fault.what


def test_an_orientation_tag_is_told_once(tmp_path):
    (tmp_path / "images").mkdir()
    for name in "ab":
        colors = np.random.default_rng(ord(name)).integers(0, 255, (8, 9, 3)).astype(np.uint8)
        Image.fromarray(colors).save(tmp_path / "images" / f"{name}.tif", tiffinfo={274: 6})
    (fault,) = check(read_index(tmp_path))
    assert fault.severity == "warning"
    assert fault.what == "2 files, a.tif the first: each has an orientation tag, which is not followed"


def test_faults_of_h5_files(tmp_path):
    """A label that does not fit the image in its own file, and slices among volumes."""
    rng = np.random.default_rng(0)
    h5(tmp_path / "a.h5", rng.normal(size=SHAPE), rng.integers(0, 2, (6, 5, 3)))
    h5(tmp_path / "b.h5", rng.normal(size=SHAPE), rng.integers(0, 2, SHAPE))
    h5(tmp_path / "c.h5", rng.normal(size=SHAPE[1:]), rng.integers(0, 2, SHAPE[1:]))
    errors = [(f.case, f.what) for f in check(read_index(tmp_path)) if f.severity == "error"]
    assert errors == [
        ("a", "has shape (6, 5, 3), the image in it has (6, 5, 4)"),
        ("", "mixes 1 pictures ('c', …) and 1 scans ('b', …)"),
    ]


def test_regions_that_cannot_be_are_told_before_anything_is_prepared(tmp_path):
    made = make(tmp_path, "folders")
    about = {"labels": {"background": 0, "a": 1, "b": 2, "c": 9}, "ignore": 9}
    regions = {"mean": ["a"], "none": [], "all": [1, 2, 9]}
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump(about | {"regions": regions}))
    told = "\n".join(map(str, check(read_index(tmp_path))))
    assert "region 'none' holds no label" in told
    assert "region 'all' holds the ignore value 9" in told
    assert "called 'mean'" in told
    assert made.images


def test_values_below_zero_may_be_what_nobody_annotated(tmp_path):
    made = make(tmp_path, "folders")
    rewrite(made.labels["bert"], lambda a: (a.astype(np.int16) - 10 * (a == 9)).astype(np.int16))
    undescribed = dataclasses.replace(read_index(tmp_path), labels={}, ignore=None)
    faults = [f for f in check(undescribed) if "below 0" in f.what]
    assert [(f.case, f.severity) for f in faults] == [("bert", "warning")] and "--ignore-value" in faults[0].remedy
