import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from made import h5, only_errors_that_name

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
    """Where one entry is a list every one is a region, as in nnU-Net; what only regions name gets a name."""
    labels = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "ignore": 4, "enhancing": 3}
    index = read_index(decathlon(tmp_path, labels=labels, channel_names=["T1"]))
    assert index.labels == {"background": 0, "label 1": 1, "label 2": 2, "enhancing": 3}
    assert index.regions == {"whole": (1, 2, 3), "core": (2, 3), "enhancing": (3,)}
    assert (index.ignore, index.channels) == (4, ("T1",))


def test_regions_that_look_like_labels(tmp_path):
    """The background as a list is the background; digits may name a region."""
    index = read_index(decathlon(tmp_path, labels={"background": [0], "1": [1, 2], "core": [2]}))
    assert index.labels == {"background": 0, "label 1": 1, "label 2": 2}
    assert index.regions == {"1": (1, 2), "core": (2,)}


def test_labels_beside_regions_of_their_own(tmp_path):
    """Labels all single, regions under their own key by name or value: only the latter are regions."""
    about = {"labels": {"background": 0, "edema": 1, "core": 2}, "regions": {"whole": ["edema", 2], "core": [2]}}
    index = read_index(decathlon(tmp_path, **about))
    assert (list(index.labels), index.regions) == (["background", "edema", "core"], {"whole": (1, 2), "core": (2,)})


def nnunet(root, **about):
    root.mkdir(exist_ok=True)
    about = {"channel_names": {"0": "T1"}, "labels": {"background": 0, "tumor": 1}, "file_ending": ".nii.gz", **about}
    (root / "dataset.json").write_text(json.dumps(about))
    return root


def told(index):
    """Severity and case of each fault, and what is told."""
    return [(f.severity, f.case, f.what) for f in index.faults]


def test_nnunet_raw(tmp_path):
    """Training images without a label are unlabeled, test images may have one; one channel too has its number."""
    touch(tmp_path, "imagesTr/a_0000.nii.gz", "imagesTr/b_2_0000.nii.gz", "imagesTs/c_0000.nii.gz",
          "imagesTs/d_0000.nii.gz", "labelsTr/a.nii.gz", "labelsTs/d.nii.gz", "imagesTr/._a_0000.nii.gz")  # fmt: skip
    labels = {"background": 0, "whole": [1, 2], "core": [2], "ignore": 3}
    index = read_index(nnunet(tmp_path, labels=labels, numTraining=1))
    assert shown(index) == {
        "a": (["a_0000.nii.gz"], "a.nii.gz"),
        "b_2": (["b_2_0000.nii.gz"], None),
        "c": (["c_0000.nii.gz"], None),
        "d": (["d_0000.nii.gz"], "d.nii.gz"),
    }
    assert [c.split for c in index.cases] == [None, None, "test", "test"]
    assert (index.channels, index.ignore, index.faults) == (("T1",), 3, ())
    assert index.regions == {"whole": (1, 2), "core": (2,)}
    assert [c.name for c in read_images(tmp_path, channels=1)] == list(index._by_name)
    assert [c.name for c in read_images(tmp_path / "imagesTs", channels=1)] == ["c", "d"], "as nnU-Net predicts it"


def test_nnunet_raw_with_faults(tmp_path):
    touch(tmp_path, *(f"imagesTr/{n}.png" for n in ("a_0000", "a_0001", "b_0000", "c", "c_0001", "d_0000.nii")))
    touch(tmp_path, "labelsTr/a.png", "labelsTr/e.png", "labelsTs/f.png", "imagesTr/g_0000.nii.gz")
    index = read_index(nnunet(tmp_path, file_ending=".png", numTraining=7))
    assert told(index) == [
        ("warning", "", "1 image files do not end in '.png' and are left out"),
        ("error", "c", "has no channel number"),
        ("error", "d_0000.nii", "has no channel number"),
        ("error", "b", "channel 0001 is missing; other cases have 2 channels"),
        ("error", "d_0000.nii", "channel 0001 is missing; other cases have 2 channels"),
        ("error", "e", "is a label without an image"),
        ("error", "f", "is a label without an image"),
        ("warning", "", "numTraining is 7, 4 training cases lie there, 1 of them with a label"),
    ]


def test_nnunet_raw_of_which_nothing_has_the_ending(tmp_path):
    """No case is an error, with what is known of the reason."""
    touch(tmp_path, "imagesTr/a_0000.nii", "labelsTr/a.nii")
    with pytest.raises(ValueError, match=r"(?s)holds no case.*1 image files do not end in '.nii.gz'.*file_ending"):
        read_index(nnunet(tmp_path))


def test_two_descriptions_are_refused(tmp_path):
    touch(tmp_path, "imagesTr/a.nii.gz", "dataset.yaml")
    with pytest.raises(ValueError, match=r"dataset.yaml would not be read, .* put its .*regions .*into dataset.json"):
        read_index(decathlon(tmp_path))


def test_nnunet_maps_cases_to_files(tmp_path):
    data = {"a": {"images": ["x/a.nii", "/abs/b.nii"], "label": "y.nii"}, "b": {"images": ["c.nii", "d.nii"]}, "c": 3}
    touch(tmp_path, "imagesTs/t_0000.nii.gz", "imagesTs/t_0001.nii.gz", "imagesTr/not_mapped_0000.nii.gz")
    index = read_index(nnunet(tmp_path, dataset=data))
    assert index["a"].images == (tmp_path / "x/a.nii", Path("/abs/b.nii")) and index["a"].label == tmp_path / "y.nii"
    assert index["b"].label is None and index["t"].split == "test" and len(index["t"].images) == 2
    assert len(index.cases) == 3 and told(index) == [("error", "c", "'dataset' maps it to 3")]


def test_nnunet_first_version(tmp_path):
    """The list names CASE.nii.gz where CASE_0000.nii.gz lies."""
    touch(tmp_path, *(f"imagesTr/{n}.nii.gz" for n in ("a_0000", "a_0001", "b_0000", "b_0001")), "labelsTr/b.nii.gz")
    touch(tmp_path, "imagesTs/t_0000.nii.gz", "imagesTs/t_0001.nii.gz")
    case = lambda name: {"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"}
    about = {"modality": {"0": "T1", "1": "T2"}, "test": ["./imagesTs/t.nii.gz"]}
    index = read_index(decathlon(tmp_path, training=[case("a"), case("b")], **about))
    assert shown(index) == {
        "a": (["a_0000.nii.gz", "a_0001.nii.gz"], "a.nii.gz"),
        "b": (["b_0000.nii.gz", "b_0001.nii.gz"], "b.nii.gz"),
        "t": (["t_0000.nii.gz", "t_0001.nii.gz"], None),
    }
    assert index.faults == ()
    (tmp_path / "imagesTr/b_0001.nii.gz").unlink()
    assert told(read_index(tmp_path)) == [("error", "b", "channel 0001 is missing; other cases have 2 channels")]


def acdc(root, names, folder="data", **lists):
    """Files of two slices each, and the lists as text."""
    for name in names:
        h5(root / folder / f"{name}.h5", np.zeros((2, 4, 5)), np.zeros((2, 4, 5)))
    for name, text in lists.items():
        (root / f"{name}.list").write_text(text)
    return root


def test_lists_of_h5_files(tmp_path):
    """As in SSL4MIS: names with or without .h5, blank lines, carriage returns."""
    acdc(tmp_path, "abcd", train="a.h5\r\n\r\nb\r\n", val="c\n", test="\ufeffd\n\n")
    h5(tmp_path / "data/b.h5", np.zeros((2, 4, 5)))
    h5(tmp_path / "data/slices/a_slice_0.h5", np.zeros((4, 5)), np.zeros((4, 5)))
    (tmp_path / "train_slices.list").write_text("a_slice_0\n")
    index = read_index(tmp_path)
    assert [(c.name, c.split) for c in index.cases] == [("a", "train"), ("b", "train"), ("c", "val"), ("d", "test")]
    assert index["a"].images == (tmp_path / "data/a.h5",) and index["a"].label == tmp_path / "data/a.h5"
    assert index["b"].label is None, "its file holds none"
    assert index.faults == ()


def test_lists_of_slices(tmp_path):
    """Where only slices are listed for training, volumes listed for validation and testing become their slices."""
    acdc(tmp_path, ("v1", "t1"), train_slices="p1_slice_1\np2_slice_3\n", val="v1\n", test="t1.h5\n")
    for name in ("p1_slice_1", "p2_slice_3", "v1_slice_1", "t1_slice_1", "t1_slice_2", "t11_slice_1"):
        h5(tmp_path / f"data/slices/{name}.h5", np.zeros((4, 5)), np.zeros((4, 5)))
    index = read_index(tmp_path, group=r"^[a-z]\d+")
    assert [(c.name, c.split, c.group) for c in index.cases] == [
        ("p1_slice_1", "train", "p1"), ("p2_slice_3", "train", "p2"), ("v1_slice_1", "val", "v1"),
        ("t1_slice_1", "test", "t1"), ("t1_slice_2", "test", "t1"),
    ]  # fmt: skip


@pytest.mark.parametrize("listed", [True, False])
def test_acdc_is_grouped_by_patient(tmp_path, listed):
    """Budgets count patients, not their frames and slices; --group goes before it."""
    names = ["patient001_frame01", "patient001_frame12", "patient002_frame01_slice_3", "other"]
    lists = {"train": "\n".join(names)} if listed else {}
    acdc(tmp_path, names, folder="data" if listed else "", **lists)
    groups = lambda **given: {c.name: c.group for c in read_index(tmp_path, **given).cases}
    assert groups() == dict(zip(names, ["patient001", "patient001", "patient002", None], strict=True))
    assert groups(group="^.+$") == {name: name for name in names}


@pytest.mark.parametrize("folder", ["", "2018LA_Seg_Training Set"])
def test_lists_of_folders(tmp_path, folder):
    """As in UA-MT, the left atrium."""
    for name in "AB":
        h5(tmp_path / folder / name / "mri_norm2.h5", np.zeros((2, 4, 5)), np.zeros((2, 4, 5)))
    (tmp_path / "train.list").write_text("A\n")
    (tmp_path / "test.list").write_text("B/mri_norm2.h5\n")
    index = read_index(tmp_path)
    file = tmp_path / folder / "A" / "mri_norm2.h5"
    assert (index["A"].images, index["A"].label, index["B"].split) == ((file,), file, "test")


def test_lists_that_are_wrong(tmp_path):
    acdc(tmp_path, "ab", train="a\n\nb\nlost\na\n", test="b\n")
    index = read_index(tmp_path)
    assert [c.name for c in index.cases] == ["a", "b"]
    assert [
        (f.severity, f.case, Path(f.file).name, f.what.removesuffix(f" in {tmp_path} or a folder in it"))
        for f in index.faults
    ] == [
        ("error", "lost", "train.list", "train.list, line 4: there is neither lost.h5 nor lost/mri_norm2.h5"),
        ("error", "a", "train.list", "train.list, line 5 names it again, after train.list, line 1"),
        ("error", "b", "test.list", "test.list, line 1 names it again, after train.list, line 3"),
    ]


def test_loose_h5_files(tmp_path):
    acdc(tmp_path, "ab", folder="")
    h5(tmp_path / "c.h5", np.zeros((2, 4, 5)))
    (tmp_path / "broken.h5").write_text("none")
    index = read_index(tmp_path)
    assert [(c.name, c.label is not None) for c in index.cases] == [
        ("a", True), ("b", True), ("broken", False), ("c", False),
    ]  # fmt: skip
    (tmp_path / "images").mkdir()
    (tmp_path / "a.h5").rename(tmp_path / "images" / "a.h5")
    assert read_index(tmp_path)["a"].label == tmp_path / "images" / "a.h5"
    (tmp_path / "cases.csv").write_text("case,image\nx,images/a.h5\ny,c.h5\n")
    assert [c.label is not None for c in read_index(tmp_path).cases] == [True, False]


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
        ("dataset.json", '{"labels": {}}', "a list 'training', a mapping 'dataset' or a folder imagesTr"),
        ("dataset.json", '{"dataset": ["a.nii"]}', "a mapping of cases under 'dataset'"),
        ("dataset.json", '{"dataset": {}, "file_ending": ".npy"}', "file_ending must be one of .nii.gz, .nii, "),
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
KEYS = st.sampled_from(["training", "test", "unlabeled", "labels", "modality", "channel_names", "regions", "ignore",
                        "dataset", "file_ending", "numTraining"])  # fmt: skip


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
