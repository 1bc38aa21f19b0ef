from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from halfmask.data.draw import DRAWS, draw_splits
from halfmask.data.index import Case, Index
from halfmask.data.split import Splits, read_splits, write_splits


def index_of(*cases):
    """Cases as (name, labeled, group, split)."""
    made = [Case(n, (Path(f"{n}.nii"),), Path(f"{n}_l.nii") if labeled else None, g, s) for n, labeled, g, s in cases]
    return Index(Path("data"), tuple(made))


@st.composite
def indexes(draw, own=("test", "val", "validation", "train", None)):
    """Patients of one to four scans, some labeled; a part of its own for some patients."""
    cases = []
    for patient in range(draw(st.integers(1, 12))):
        split, grouped = draw(st.sampled_from(own)), draw(st.booleans())
        for scan in range(draw(st.integers(1, 4)) if grouped else 1):
            group = f"patient {patient}" if grouped else None
            cases.append((f"{patient:02}{'abcd'[scan]}", draw(st.booleans()), group, split))
    return index_of(*cases)


@settings(max_examples=150, deadline=None)
@given(index=indexes(), test=st.floats(0, 0.9), seed=st.integers(0, 5), data=st.data())
def test_what_holds_for_all_splits(index, test, seed, data):
    if not any(c.label for c in index.cases):
        splits = draw_splits(index, test=test, seed=seed)
        assert splits.folds == ((),) and not any(splits.orders)
        assert splits.test == tuple(c.name for c in index.cases if c.split == "test")
        return
    if not any(c.label and c.split not in ("test", "val", "validation") for c in index.cases):
        with pytest.raises(ValueError, match="leave nothing to train on"):
            draw_splits(index, test=test, seed=seed)
        return
    splits = draw_splits(index, test=test, seed=seed)
    assert draw_splits(index, test=test, seed=seed) == splits
    group, groups = splits.group, lambda names: {splits.group(n) for n in names}
    labeled = {c.name for c in index.cases if c.label}
    tested = groups(splits.test)

    assert {c.name for c in index.cases if c.split == "test"} <= set(splits.test)
    assert {c.name for c in index.cases if group(c.name) in tested} == set(splits.test), "whole groups are tested"
    rest = {n for n in labeled if group(n) not in tested}
    folds = [set(f) for f in splits.folds]
    if any(index[n].split in ("val", "validation") for n in rest):
        assert folds == [{n for n in rest if index[n].split in ("val", "validation")}]
    elif len(groups(rest)) > 1:
        assert len(folds) == min(5, len(groups(rest)))
        assert set.union(*folds) == rest and sum(map(len, folds)) == len(rest), "folds partition the rest"
        assert sum(len(groups(f)) for f in folds) == len(groups(rest)), "whole groups are validated"
    else:
        assert folds == [set()]
    assert len(splits.orders) == DRAWS and all(sorted(o) == sorted(rest) for o in splits.orders)

    fold, draw = data.draw(st.integers(0, len(folds) - 1)), data.draw(st.integers(0, DRAWS - 1))
    held = groups(splits.folds[fold])
    everything = splits.labeled(fold=fold, draw=draw, budget=None)
    assert set(everything) == {n for n in rest if group(n) not in held}
    before = set()
    for budget in range(1, len(groups(everything)) + 1):
        known = splits.labeled(fold=fold, draw=draw, budget=budget)
        assert len(groups(known)) == budget and before <= set(known), "smaller subsets lie within larger ones"
        pool = splits.pool([c.name for c in index.cases], known, fold=fold)
        assert not set(pool) & set(known)
        assert not groups(pool) & (tested | held) and not groups(known) & (tested | held)
        assert {*pool, *known} == {c.name for c in index.cases if group(c.name) not in tested | held}
        before = set(known)
    assert before == set(everything)


@settings(max_examples=50, deadline=None)
@given(index=indexes(own=(None,)), share=st.floats(0.01, 1), other=st.floats(0.01, 1))
def test_budgets(index, share, other):
    assume(any(c.label for c in index.cases))
    splits = draw_splits(index, test=0)
    assert splits.test == ()
    everything = splits.labeled(fold=0, draw=0, budget=1.0)
    assume(everything)
    groups = lambda names: {splits.group(n) for n in names}
    count = len(groups(everything))
    assert everything == splits.labeled(fold=0, draw=0, budget=count)
    less, more = (splits.labeled(fold=0, draw=0, budget=b) for b in sorted([share, other]))
    assert set(less) <= set(more)
    assert abs(len(groups(more)) - max(share, other) * count) <= 1 and less
    for budget, told in ((0, "were asked for"), (count + 1, f"{count} labeled groups.*{count + 1} were asked"),
                         (1.5, r"a share of labels lies in \(0, 1\]"), (-0.1, "a share of labels")):  # fmt: skip
        with pytest.raises(ValueError, match=told):
            splits.labeled(fold=0, draw=0, budget=budget)
    with pytest.raises(ValueError, match=r"no fold 7; splits.yaml has folds 0 to"):
        splits.labeled(fold=7, draw=0, budget=None)


def test_about_the_share_asked_for_is_tested():
    index = index_of(*((f"{n:03}", n < 50, None, None) for n in range(100)))
    splits = draw_splits(index, test=0.2)
    assert len(splits.test) == 10 and all(int(n) < 50 for n in splits.test)
    assert [len(f) for f in splits.folds] == [8] * 5
    assert draw_splits(index, test=0.2, seed=1).test != splits.test
    assert len(set(splits.orders)) == DRAWS


def test_a_test_part_without_labels_stays_out_and_another_is_drawn():
    index = index_of(*((f"{n:02}", n < 20, None, "test" if n > 25 else None) for n in range(30)))
    splits = draw_splits(index, test=0.2)
    assert set(splits.test) >= {"26", "27", "28", "29"} and len(splits.test) == 8


def test_nothing_to_train_on():
    for cases in ([("a", False, None, None), ("b", True, None, "test")], [("a", True, None, "val")]):
        with pytest.raises(ValueError, match="leave nothing to train on"):
            draw_splits(index_of(*cases))


@settings(max_examples=60, deadline=None)
@given(index=indexes())
def test_written_and_read_again(tmp_path_factory, index):
    try:
        splits = draw_splits(index)
    except ValueError:
        assume(False)
    file = tmp_path_factory.mktemp("splits") / "splits.yaml"
    write_splits(splits, file)
    assert read_splits(file, index.cases) == splits
    assert len(file.read_text().splitlines()) == 7 + len(splits.folds) + len(splits.orders)


INDEX = index_of(("010", True, None, None), ("no", True, None, None), ("1e3", True, None, None),
                 ("x: y, z", True, "g", None), ("ü", True, "g", None), ("u", False, None, None))  # fmt: skip
SPLITS = Splits(("010",), (("no",), ("1e3",)), (("no", "1e3", "ü"),), {"x: y, z": "g", "ü": "g"})


def test_names_that_yaml_takes_for_something_else(tmp_path):
    write_splits(SPLITS, tmp_path / "splits.yaml")
    assert read_splits(tmp_path / "splits.yaml", INDEX.cases) == SPLITS


@pytest.mark.parametrize(
    ("splits", "told"),
    [
        (replace(SPLITS, test=("1e33", "nope")), ["'1e33'; did you mean '1e3'", "no case is called 'nope'"]),
        (replace(SPLITS, test=("x: y, z",)), ["group 'g' is in the test part and among the labeled"]),
        (replace(SPLITS, test=("x: y, z",), folds=(("ü",),)), ["'g' is in the test part and in fold 0", "labeled"]),
        (replace(SPLITS, test=("no",)), ["group 'no' is in the test part and in fold 0"]),
        (replace(SPLITS, orders=(("u",),)), ["case 'u' has no label"]),
    ],
)
def test_an_edited_file_is_checked(tmp_path, splits, told):
    file = tmp_path / "splits.yaml"
    write_splits(splits, file)
    with pytest.raises(ValueError, match=r"splits\.yaml") as error:
        read_splits(file, INDEX.cases)
    for text in told:
        assert text in str(error.value)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "test: []",
        "[a]",
        "test: [",
        "test: []\nfolds: []\nlabeled: []",
        "test: 3\nfolds: []\nlabeled: []",
        "test:\nfolds: [[]]\nlabeled: [[]]",
        "test: []\nfolds: [[]]\nlabeled: [[]]\ngroups: [a]",
        "test: [10]\nfolds: [[1]]\nlabeled: [[]]",
    ],
)
def test_what_is_no_splits_file(tmp_path, content):
    (tmp_path / "splits.yaml").write_text(content)
    with pytest.raises(ValueError, match=r"splits\.yaml"):
        read_splits(tmp_path / "splits.yaml", INDEX.cases)


def test_the_next_scan_of_a_tested_patient_is_not_for_training(tmp_path):
    index = index_of(*((f"p{p}_{s}", True, f"p{p}", None) for p in range(5) for s in range(2)))
    write_splits(draw_splits(index), tmp_path / "splits.yaml")
    patient = draw_splits(index).test[0][:2]
    grown = [*index.cases, Case("new", (Path("new.nii"),), None, patient)]
    splits = read_splits(tmp_path / "splits.yaml", grown)
    assert splits.pool(["new", "other"], (), fold=0) == ("other",)
