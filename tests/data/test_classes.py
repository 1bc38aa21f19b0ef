"""Classes of whole images: from the columns of a table to the labels of a batch."""

import collections
import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from halfmask import verbs
from halfmask.data.batch import IGNORE
from halfmask.data.check import check, faults_of
from halfmask.data.draw import draw_splits, in_proportion
from halfmask.data.index import Case, Index
from halfmask.data.layouts import read_images, read_index
from halfmask.data.load import Loader
from halfmask.data.sample import Stream
from halfmask.data.store import Store
from halfmask.data.whole import fitted_shape, shrunk

BRIGHT = {"dark": 40, "middle": 120, "light": 200}


def pictures(folder, rows, header="case,image,kind", shape=(40, 64), seed=0):
    """A table of color pictures, as bright as their class says; ``rows`` are (kind, further columns …)."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    lines = [header]
    for number, row in enumerate(rows):
        level = BRIGHT.get(row[0], 100)
        image = np.clip(rng.normal(level, 12, (*shape, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(image).save(folder / f"images/p{number:02d}.png")
        lines.append(f"p{number:02d},images/p{number:02d}.png,{','.join(row)}")
    (folder / "cases.csv").write_text("\n".join(lines) + "\n")
    return folder


def table(tmp_path, header, *rows):
    """A table alone; its images need not be there to be read."""
    text = "\n".join([f"case,image,{header}", *(f"c{i},c{i}.png,{row}" for i, row in enumerate(rows))])
    (tmp_path / "cases.csv").write_text(text + "\n")
    return tmp_path / "cases.csv"


def test_a_column_of_0_and_1_is_called_after_what_it_marks(tmp_path):
    index = read_index(table(tmp_path, "melanoma", "1.0", "0.0", "", "1"), classes=["melanoma"])
    assert index.classes == ("no melanoma", "melanoma") and index.columns == ("melanoma",)
    assert [case.target for case in index.cases] == [(1,), (0,), None, (1,)]
    assert [case.labeled for case in index.cases] == [True, True, False, True]


def test_classes_are_in_the_order_of_numbers_then_of_words(tmp_path):
    index = read_index(table(tmp_path, "grade", "10", "2", "3.0", "none"), classes=["grade"])
    assert index.classes == ("2", "3", "10", "none")
    assert [index.classes[case.target[0]] for case in index.cases] == ["10", "2", "3", "none"]


def test_several_columns_are_classes_that_may_come_together(tmp_path):
    index = read_index(table(tmp_path, "mel,nevus", "1,0", "0,", ",", "1,1"), classes=["mel", "nevus"])
    assert index.classes == ("mel", "nevus")
    assert [case.target for case in index.cases] == [(1, 0), (0, IGNORE), None, (1, 1)]


def test_labels_of_a_table_to_classify_are_masks(tmp_path):
    index = read_index(table(tmp_path, "label,kind", "c0-mask.png,a", ",b"), classes=["kind"])
    assert [case.label for case in index.cases] == [None, None]
    assert index["c0"].mask == tmp_path / "c0-mask.png" and index["c1"].mask is None


def test_a_column_class_counts_where_nothing_is_to_be_segmented(tmp_path):
    assert read_index(table(tmp_path, "class", "a", "b")).classes == ("a", "b")
    assert read_index(table(tmp_path, "label,class", "m.png,a", ",b")).classes == ()


@pytest.mark.parametrize(
    ("header", "rows", "classes", "told"),
    [
        ("melanoma", ["1", "0"], ["melanom"], "did you mean 'melanoma'"),
        ("a,b", ["1,maybe", "0,1"], ["a", "b"], "column 'b' is 'maybe'"),
        ("kind", ["x", "x", ""], ["kind"], "two classes are needed"),
        ("kind", ["", ""], ["kind"], "holds nothing, two classes are needed"),
        ("kind", ["1", "1"], ["kind"], "two classes are needed"),
        ("kind", ["mean", "x"], ["kind"], "a class is called 'mean'"),
        ("a,b", ["1,1", "0,1"], ["a", "a"], "--classes names a twice"),
        ("a;b,c", ["1,1", "0,1"], ["a;b", "c"], "which part classes in tables"),
    ],
)
def test_columns_that_tell_no_classes_are_refused(tmp_path, header, rows, classes, told):
    def faults():
        return "\n".join(map(str, faults_of(read_index(table(tmp_path, header, *rows), classes=classes), {})))

    try:
        said = faults()
    except ValueError as e:
        said = str(e)
    assert told in said


def test_images_to_predict_need_no_classes(tmp_path):
    """Of new images the column is empty, or holds one class alone."""
    for rows in (["", ""], ["x", "x"]):
        assert [case.name for case in read_images(table(tmp_path, "class", *rows), channels=3)] == ["c0", "c1"]


def test_the_description_of_a_table_to_classify_tells_what_masks_ignore(tmp_path):
    (tmp_path / "dataset.yaml").write_text("ignore: 9\n")
    assert read_index(table(tmp_path, "label,kind", "m.png,a", "m.png,b"), classes=["kind"]).ignore == 9


def test_a_data_set_without_a_table_has_no_classes(tmp_path, cohort):
    with pytest.raises(ValueError, match="classes are told by columns of a CSV table"):
        read_index(cohort, classes=["kind"])


def test_every_part_holds_the_classes_in_proportion():
    """One in five is ill: so it is in the sealed part, in each fold, and in each budget of each draw."""
    cases = tuple(Case(f"c{n:03d}", (), target=(int(n % 5 == 0),)) for n in range(200))
    splits = draw_splits(Index(None, cases, classes=("well", "ill")), folds=4)
    ill = lambda names: sum(int(name[1:]) % 5 == 0 for name in names)
    assert ill(splits.test) == pytest.approx(len(splits.test) / 5, abs=1)
    for fold in splits.folds:
        assert ill(fold) == pytest.approx(len(fold) / 5, abs=1)
    orders = set()
    for draw in range(3):
        for budget in (10, 0.25, 0.5):
            chosen = splits.labeled(fold=0, draw=draw, budget=budget)
            assert ill(chosen) == pytest.approx(len(chosen) / 5, abs=1)
        orders.add(splits.labeled(fold=0, draw=draw, budget=10))
    assert len(orders) == 3


def test_what_nothing_else_shows_lies_anywhere():
    """Half of the images show something of their own: so does half of each beginning, not the middle alone."""
    first = []
    for draw in range(20):
        queue = [str(n) for n in np.random.default_rng(draw).permutation(80)]
        found = in_proportion(queue, {name: ((int(name),) if int(name) < 40 else (99,),) for name in queue})
        assert sorted(found) == sorted(queue)
        first.append(sum(int(name) < 40 for name in found[:16]))
    assert np.mean(first) == pytest.approx(8, abs=1.5) and max(first) < 16


def test_groups_are_in_proportion_by_all_that_they_show():
    """Each patient has one healthy image at last; one in four an ill one before."""
    cases = [Case(f"p{n:02d}-{k}", (), group=f"p{n:02d}", target=(int(k < 1 and n % 4 == 0),))
             for n in range(80) for k in range(2)]  # fmt: skip
    splits = draw_splits(Index(None, tuple(cases), classes=("well", "ill")), folds=4)
    for part in (splits.test, *splits.folds):
        assert sum(int(name[1:3]) % 4 == 0 for name in part) == len(part) / 4


def test_what_shows_the_same_keeps_its_order():
    shown = {name: ((int(name.isupper()),),) for name in "abcDEFghi"}
    found = in_proportion("abcDEFghi", shown)
    assert sorted(found) == sorted("abcDEFghi")
    assert [x for x in found if x.islower()] == list("abcghi") and [x for x in found if x.isupper()] == list("DEF")
    assert collections.Counter(map(str.isupper, found[:3])) == {True: 1, False: 2}


@pytest.mark.parametrize(
    ("shape", "spacing", "patch", "fitted"),
    [
        ((1, 600, 400), (1, 1, 1), (96, 96), (1, 96, 64)),
        ((1, 50, 100), (1, 1, 1), (96, 96), (1, 48, 96)),
        ((10, 200, 200), (10, 1, 1), (32, 64, 64), (32, 64, 64)),
        ((10, 200, 100), (10, 1, 1), (64, 64, 64), (32, 64, 32)),
        ((1, 1000, 2), (1, 1, 1), (32, 32), (1, 32, 1)),
    ],
)
def test_images_fit_into_the_patch_with_their_proportions(shape, spacing, patch, fitted):
    assert fitted_shape(shape, spacing, patch) == fitted


def test_shrinking_is_the_mean_over_what_a_voxel_covers():
    image = np.random.default_rng(0).random((2, 1, 12, 9)).astype(np.float32)
    small = shrunk(image, (1, 4, 20))
    assert small.shape == (2, 1, 4, 9), "axes that are to grow are left"
    for row in range(4):
        np.testing.assert_allclose(small[:, :, row], image[:, :, 3 * row : 3 * row + 3].mean(2), rtol=1e-5)
    assert shrunk(image, image.shape[1:]) is image


def test_a_large_picture_is_the_mean_of_its_pixels_not_a_sample(tmp_path):
    """100 pixels of noise each: a tenth of it is left."""
    data = pictures(tmp_path / "data", [("light",), ("dark",)] * 3, shape=(320, 640))
    verbs.prepare(data, out=tmp_path / "store", classes="kind", workers=1, set=["patch=32,64"])
    store = Store(tmp_path / "store")
    for name in store.stored:
        case = store.case(name)
        assert case.shape == (1, 32, 64)
        sd = (case.normalized() * case.channels[0].sd).std()
        assert sd == pytest.approx(12 / 10, rel=0.2)


def test_another_patch_makes_all_anew(tmp_path):
    data, _ = prepared(tmp_path, [("light",), ("dark",)] * 5, "kind")
    plan = tmp_path / "store/plan.yaml"
    assert "patch: [32, 64]" in plan.read_text()
    plan.write_text(plan.read_text().replace("patch: [32, 64]", "patch: [64, 64]"))
    verbs.prepare(data, out=tmp_path / "store", classes="kind", workers=1)
    store = Store(tmp_path / "store")
    assert {store.case(name).shape for name in store.stored} == {(1, 40, 64)}


def prepared(tmp_path, rows, classes, header="case,image,kind", **options):
    data = pictures(tmp_path / "data", rows, header)
    verbs.prepare(data, out=tmp_path / "store", classes=classes, workers=1, test=0.2, **options)
    return data, Store(tmp_path / "store")


def test_a_plan_to_classify_sees_whole_images_and_keeps_colors(tmp_path):
    _, store = prepared(tmp_path, [(kind,) for kind in BRIGHT] * 5, "kind")
    plan = store.plan
    assert (plan.task, plan.outputs, plan.dims, plan.labels) == (
        "classification", "classes", 2, {"dark": 0, "light": 1, "middle": 2},
    )  # fmt: skip
    assert plan.patch == (32, 64), "40×64 pixels, no larger than they are"
    assert plan.normalization == ["cohort"] * 3
    means = collections.defaultdict(list)
    for name in store.stored:
        case = store.case(name)
        assert case.shape == (1, 32, 51), "the whole image in its proportions"
        means[case.target].append(case.normalized().mean())
    assert max(means[0,]) < min(means[2,]) < max(means[2,]) < min(means[1,]), "brightness still tells"


def test_batches_have_a_label_an_image(tmp_path):
    _, store = prepared(tmp_path, [(kind,) for kind in BRIGHT] * 5, "kind")
    cases = [store.case(name) for name in store.stored]
    patch = (1, *store.plan.patch)
    stream = Stream(cases, patch=patch, margin=(0, 2, 2), size=4, seed=0, name="labeled", labeled=True)
    (batch,) = Loader(stream, None, dims=2, device=torch.device("cpu"), threads=0).batches(0, 1)
    assert batch.labeled.image.shape == (4, 3, 36, 68)
    assert batch.labeled.label.shape == (4,) and batch.labeled.label.dtype == torch.int64
    assert batch.labeled.label.tolist() == [cases[k].target[0] for k in batch.labeled.case.tolist()]
    around = batch.labeled.image[:, :, :2]
    assert around.abs().max() < 0.01, "the cohort's mean, to a gray value, around the image"


def test_batches_of_several_classes_tell_what_nobody_knows(tmp_path):
    rows = [("light", "1", "0"), ("dark", "0", ""), ("light", "1", "1"), ("dark", "", "")] * 4
    _, store = prepared(tmp_path, rows, "a,b", "case,image,kind,a,b")
    assert (store.plan.outputs, store.plan.columns, store.plan.output_names) == ("labels", ["a", "b"], ["a", "b"])
    labeled = store.splits.labeled(fold=0, draw=0, budget=None)
    assert {store.case(name).target for name in labeled} == {(1, 0), (0, IGNORE), (1, 1)}
    stream = Stream([store.case(n) for n in labeled], patch=(1, 32, 64), margin=(0, 0, 0), size=5, seed=0,
                    name="labeled", labeled=True)  # fmt: skip
    (batch,) = Loader(stream, None, dims=2, device=torch.device("cpu"), threads=0).batches(0, 1)
    assert batch.labeled.label.shape == (5, 2)


def test_unlabeled_cases_have_no_label_to_read(tmp_path):
    _, store = prepared(tmp_path, [("light",), ("dark",)] * 5 + [("",)] * 3, "kind")
    assert sum(store.case(name).labeled for name in store.stored) == len(store.stored) - 3
    assert len(store.splits.pool(store.stored, store.splits.labeled(fold=0, draw=0, budget=None), fold=0)) == 3


def test_another_class_in_the_table_makes_its_case_anew(tmp_path):
    data, store = prepared(tmp_path, [("light",), ("dark",)] * 6, "kind")
    name = store.splits.labeled(fold=0, draw=0, budget=None)[0]
    text = (data / "cases.csv").read_text()
    changed = "\n".join(_swapped(line) if line.startswith(name) else line for line in text.splitlines())
    before = store.case(name).target
    (data / "cases.csv").write_text(changed + "\n")
    verbs.prepare(data, out=tmp_path / "store", classes="kind", workers=1)
    assert Store(tmp_path / "store").case(name).target == (1 - before[0],)


def _swapped(line):
    return line.replace("light", "DARK").replace("dark", "light").replace("DARK", "dark")


def test_a_store_is_of_one_task(tmp_path):
    data, _ = prepared(tmp_path, [("light",), ("dark",)] * 5, "kind")
    with pytest.raises(ValueError, match="give the --classes that it was prepared with"):
        verbs.prepare(data, out=tmp_path / "store", workers=1)


def test_options_that_whole_images_have_not(tmp_path):
    data = pictures(tmp_path / "data", [("light",), ("dark",)] * 5)
    with pytest.raises(ValueError, match="have no --spacing"):
        verbs.prepare(data, out=tmp_path / "a", classes="kind", spacing="2,2", workers=1)
    with pytest.raises(ValueError, match="nothing depends on --memory and --ignore-value"):
        verbs.prepare(data, out=tmp_path / "a", classes="kind", memory=4, ignore_value=9, workers=1)
    for patch in ("64", "64,64,64"):
        with pytest.raises(ValueError, match="patch is 2 numbers"):
            verbs.prepare(data, out=tmp_path / "a", classes="kind", set=[f"patch={patch}"], workers=1)
    with pytest.raises(ValueError, match="classification does not go with outputs labels"):
        verbs.prepare(data, out=tmp_path / "a", classes="kind", set=["outputs=labels"], workers=1)
    with pytest.raises(ValueError, match="pictures cannot be planned in 3D"):
        verbs.prepare(data, out=tmp_path / "b", classes="kind", dims=3, workers=1)


def test_red_by_its_share_of_all_colors_knows_no_light(tmp_path):
    """S4MI's option: half the light, the same share of red."""
    _, store = prepared(
        tmp_path, [("light",), ("dark",)] * 5, "kind", set=["normalization=share,cohort,cohort", "patch=32,64"]
    )
    share = [store.case(name).channels[0].mean for name in store.stored]
    np.testing.assert_allclose(share, 1 / 3, atol=0.01)


def test_a_check_of_classes_reads_the_images(tmp_path):
    data = pictures(tmp_path / "data", [("light",), ("dark",)] * 3)
    (data / "images/p01.png").write_bytes(b"no picture")
    faults = check(read_index(data, classes=["kind"]))
    assert [fault.case for fault in faults if fault.severity == "error"] == ["p01"]
    assert dataclasses.asdict(faults[0])["what"]


def test_classes_spelled_in_two_ways_and_masks_that_are_gone_are_warned_of(tmp_path):
    index = read_index(table(tmp_path, "label,kind", "gone.png,Mel", ",mel", ",nevus"), classes=["kind"])
    warned = [fault.what for fault in check(index) if fault.severity == "warning"]
    assert any("Mel, mel differ in case alone" in what for what in warned)
    assert any("gone.png is not there" in what for what in warned)
