import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from made import only_errors_that_name

from halfmask.data.layouts import read_images, read_index


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def decathlon(root, **about):
    about = {"training": [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}], **about}
    root.mkdir(exist_ok=True)
    (root / "dataset.json").write_text(json.dumps(about))
    return root


def shown(index):
    """Case name to the names of its files."""
    return {c.name: ([p.name for p in c.images], c.label and c.label.name) for c in index.cases}


def test_decathlon(tmp_path):
    root = decathlon(
        tmp_path,
        modality={"1": "FLAIR", "0": "T1", "10": "T2"},
        labels={"0": "background", "2": "edema", "1": "core"},
        training=[
            {"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"},
            {"image": "./imagesTr/b.nii.gz"},
            {"image": "./imagesTr/c.nii.gz", "label": None},
        ],
        test=["./imagesTs/d.nii.gz", {"image": "./imagesTs/e.nii.gz", "label": "./labelsTs/e.nii.gz"}],
    )
    index = read_index(root)
    assert [c.name for c in index.cases] == list("abcde")
    assert [c.label is not None for c in index.cases] == [True, False, False, False, True]
    assert [c.split for c in index.cases] == [None] * 3 + ["test"] * 2
    assert index.channels == ("T1", "FLAIR", "T2")
    assert list(index.labels.items()) == [("background", 0), ("core", 1), ("edema", 2)]
    assert index["b"].images == (root / "imagesTr/b.nii.gz",)
    assert index.faults == ()


def test_nnunet_labels_regions_and_ignore(tmp_path):
    labels = {"background": 0, "whole": [1, 2], "core": [2], "ignore": 3, "edema": 1, "necrosis": 2}
    index = read_index(decathlon(tmp_path, labels=labels, channel_names=["T1"]))
    assert index.labels == {"background": 0, "edema": 1, "necrosis": 2}
    assert index.regions == {"whole": (1, 2), "core": (2,)}
    assert (index.ignore, index.channels) == (3, ("T1",))


def test_a_folder(tmp_path):
    touch(
        tmp_path, "images/p1.nii.gz", "images/p2.png", "labels/p1.nii.gz", "images/.hidden.nii.gz", "images/notes.txt"
    )
    assert shown(read_index(tmp_path)) == {"p1": (["p1.nii.gz"], "p1.nii.gz"), "p2": (["p2.png"], None)}


def test_a_folder_with_channels(tmp_path):
    touch(tmp_path, *(f"images/p{n}_000{c}.nii.gz" for n in (1, 2) for c in (1, 0)), "labels/p2.nii.gz")
    assert shown(read_index(tmp_path)) == {
        "p1": (["p1_0000.nii.gz", "p1_0001.nii.gz"], None),
        "p2": (["p2_0000.nii.gz", "p2_0001.nii.gz"], "p2.nii.gz"),
    }


def test_four_digits_need_not_be_a_channel(tmp_path):
    """Labels with the whole name, or no channel 0000, say that they number the cases."""
    touch(tmp_path, *(f"images/p_000{n}.nii.gz" for n in range(3)), "labels/p_0000.nii.gz")
    assert list(shown(read_index(tmp_path))) == ["p_0000", "p_0001", "p_0002"]
    touch(tmp_path / "other", *(f"images/p_000{n}.nii.gz" for n in range(1, 4)))
    assert list(shown(read_index(tmp_path / "other"))) == ["p_0001", "p_0002", "p_0003"]


def test_a_table(tmp_path):
    (tmp_path / "cases.csv").write_text(
        "case,image_T1,image_T2,label,group,split,domain\n"
        "001,a.nii,b.nii,l.nii,anna,train,\n"
        "NA,sub/c.nii,/abs/d.nii,,,test,site 2\n"
        ",e.nii,f.nii\n"
    )
    for path in (tmp_path, tmp_path / "cases.csv"):
        index = read_index(path)
        assert index.channels == ("T1", "T2") and index.faults == ()
        one, two, three = index.cases
        assert (one.name, one.group, one.split, one.domain) == ("001", "anna", "train", None)
        assert (two.name, two.group, two.split, two.domain) == ("NA", None, "test", "site 2")
        assert two.images == (tmp_path / "sub/c.nii", Path("/abs/d.nii")) and two.label is None
        assert (three.name, three.label, three.split) == ("row 4", None, None)


def test_a_description_beside_the_images(tmp_path):
    touch(tmp_path, "images/a.nii.gz")
    about = {"channels": ["CT"], "labels": {"background": 0, "tumor": 255}, "regions": {"all": [255]}, "ignore": 9}
    (tmp_path / "dataset.yaml").write_text(yaml.safe_dump(about))
    index = read_index(tmp_path)
    assert (index.channels, index.labels, index.regions, index.ignore) == (
        ("CT",), {"background": 0, "tumor": 255}, {"all": (255,)}, 9,
    )  # fmt: skip


def test_groups(tmp_path):
    touch(tmp_path, "images/p1_a.nii", "images/p1_b.nii", "images/p2_a.nii")
    assert [c.group for c in read_index(tmp_path, group=r"^(p\d)_").cases] == ["p1", "p1", "p2"]
    assert [c.group for c in read_index(tmp_path, group=r"p\d").cases] == ["p1", "p1", "p2"]
    with pytest.raises(ValueError, match=r"does not match 'p2_a'; it must match every case"):
        read_index(tmp_path, group="p1")
    with pytest.raises(ValueError, match=r"'p\(' is no regular expression"):
        read_index(tmp_path, group="p(")
    (tmp_path / "cases.csv").write_text("case,image,group\nx,a.nii,own\np1_c,b.nii,\n")
    assert [c.group for c in read_index(tmp_path, group=r"p\d").cases] == ["own", "p1"], "the table goes first"


def test_what_cannot_be_a_layout(tmp_path):
    for path in (tmp_path, tmp_path / "missing", tmp_path / "missing.csv"):
        with pytest.raises(ValueError, match=f"{re.escape(str(path))} holds no data set; expected a folder with"):
            read_index(path)
    (tmp_path / "images").mkdir()
    with pytest.raises(ValueError, match="holds no case"):
        read_index(tmp_path)


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("dataset.json", "{", "is no valid JSON"),
        ("dataset.json", "[]", "a list 'training'"),
        ("dataset.json", '{"training": []}', "holds no case"),
        ("dataset.json", '{"training": ["a.nii"], "labels": [1]}', "labels must be a mapping"),
        ("dataset.json", '{"training": ["a.nii"], "labels": {"0": "a", "b": 0}}', "two labels have one value"),
        ("dataset.json", '{"training": ["a.nii"], "modality": {"T1": 0}}', "modality"),
        ("dataset.json", '{"training": ["a.nii"], "test": 3}', "'test'"),
        ("dataset.json", '{"training": ["a.nii"], "labels": {"x": 1}, "regions": {"y": [4]}}', r"\[4\]"),
        ("cases.csv", "", "cannot be read as a CSV table"),
        ("cases.csv", "case\na\n", "no column 'image'"),
        ("cases.csv", "Case,image\na,b\n", "did you mean 'Case'"),
        ("cases.csv", 'case,image\na,"b\n', "cannot be read as a CSV table"),
        ("cases.csv", "case,image\na,b,c\n", "more values than the 2 columns"),
        ("dataset.yaml", "labels: [", "is no valid YAML"),
        ("dataset.yaml", "lables: {a: 1}", "did you mean 'labels'"),
        ("dataset.yaml", "- labels", "a mapping"),
        ("dataset.yaml", "labels: {a: 1.5}", "labels: a: expected a whole number, got 1.5"),
        (
            "dataset.yaml",
            "labels: {b: 0, a: 1}\nregions: {whole: [c]}",
            "regions: whole: expected a whole number or one of",
        ),
        ("dataset.yaml", "labels: {b: 0, a: 1}\nregions: {whole: 1}", "regions: whole must be a list"),
        ("dataset.yaml", "labels: {a: x}", "labels: a: expected a whole number, got .x."),
        ("dataset.yaml", "ignore: some", "ignore"),
        ("dataset.yaml", "channels: 3", "channels"),
    ],
)
def test_a_malformed_description_is_named(tmp_path, file, content, told):
    if file == "dataset.yaml":
        touch(tmp_path, "images/a.nii.gz")
    (tmp_path / file).write_text(content)
    with pytest.raises(ValueError, match=told) as error:
        read_index(tmp_path)
    assert str(tmp_path) in str(error.value)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 300) | st.sampled_from(["a.nii", "", "0", "x/../y", "ignore", "."]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["0", "a", "image", "label"]), inner),
    max_leaves=6,
)
KEYS = st.sampled_from(["training", "test", "unlabeled", "labels", "modality", "channel_names", "regions", "ignore"])


@settings(max_examples=200, deadline=None)
@given(about=st.dictionaries(KEYS, VALUES), training=st.booleans(), as_yaml=st.booleans())
def test_whatever_a_description_says(tmp_path_factory, about, training, as_yaml):
    root = tmp_path_factory.mktemp("fuzz")
    if training:
        about["training"] = [{"image": "a.nii.gz", "label": "b.nii.gz"}]
    if as_yaml:
        touch(root, "images/a.nii.gz")
        (root / "dataset.yaml").write_text(
            yaml.safe_dump({k.replace("modality", "channels"): v for k, v in about.items()})
        )
    else:
        (root / "dataset.json").write_text(json.dumps(about))
    with only_errors_that_name(root):
        index = read_index(root)
        assert all(isinstance(v, int) for v in (*index.labels.values(), *sum(index.regions.values(), ())))
        assert index.ignore is None or isinstance(index.ignore, int)
        assert all(isinstance(c, str) for c in index.channels)
        for case in index.cases:
            assert case.name and Path(case.name).name == case.name and not case.name.startswith(".")


def test_images_to_predict(tmp_path):
    touch(tmp_path, "images/a.nii.gz", "flat/b.png", "flat/c.png", "flat/notes.txt", "empty/notes.txt")
    names = lambda path: [c.name for c in read_images(path, channels=1)]
    assert names(tmp_path) == ["a"]
    assert names(tmp_path / "flat") == ["b", "c"]
    assert names(tmp_path / "flat" / "b.png") == ["b"]
    for path in (tmp_path / "empty", tmp_path / "missing", tmp_path / "flat" / "notes.txt"):
        with pytest.raises(ValueError, match=re.escape(str(path))):
            read_images(path, channels=1)
    touch(tmp_path, "channels/a_0000.nii", "channels/a_0001.nii", "channels/b_0000.nii")
    with pytest.raises(ValueError, match=r"'b'.*channel 0001 is missing"):
        read_images(tmp_path / "channels", channels=2)
    assert names(tmp_path / "channels") == ["a_0000", "a_0001", "b_0000"], "of one channel, these are three cases"
