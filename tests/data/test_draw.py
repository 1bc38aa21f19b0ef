"""Splits by domain, and in the order of a benchmark's lists."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import blob, h5

from halfmask.data.draw import by_turns, draw_splits
from halfmask.data.index import Case, Index
from halfmask.data.layouts import read_index
from halfmask.data.split import read_splits, write_splits


def sites(counts, scans=1):
    """Patients of so many at each site, each with so many scans."""
    cases = [
        Case(f"{site}{n:02}{scan}", (Path("i"),), Path("l"), f"{site}{n:02}", None, site)
        for site, count in counts.items()
        for n in range(count)
        for scan in range(scans)
    ]
    return Index(Path("data"), tuple(cases))


def spread(index, names):
    """How many groups of each domain are among some cases."""
    return Counter(domain for _, domain in {(index[n].group, index[n].domain) for n in names})


def test_twelve_of_sixty_from_three_sites_alike():
    """White matter hyperintensities, as MuST splits them."""
    index = sites({"Amsterdam": 20, "Singapore": 20, "Utrecht": 20})
    splits = draw_splits(index, test=0.2, folds=3, stratify=True)
    assert spread(index, splits.test) == {"Amsterdam": 4, "Singapore": 4, "Utrecht": 4}
    assert len(splits.folds) == 3
    for fold in splits.folds:
        assert sorted(spread(index, fold).values()) == [5, 5, 6]
    assert draw_splits(index, test=0.2, folds=3, stratify=True, seed=1).test != splits.test


@settings(max_examples=60, deadline=None)
@given(
    counts=st.dictionaries(st.sampled_from("ABCD"), st.integers(1, 9), min_size=1),
    scans=st.integers(1, 2), test=st.floats(0, 0.6), folds=st.integers(1, 6), seed=st.integers(0, 3),
)  # fmt: skip
def test_each_part_holds_equally_many_of_each_domain(counts, scans, test, folds, seed):
    index = sites(counts, scans)
    splits = draw_splits(index, test=test, folds=folds, seed=seed, stratify=True)
    tested = spread(index, splits.test)
    left = {site: count - tested[site] for site, count in counts.items()}
    for site in counts:
        assert not any(tested[o] > tested[site] + 1 for o in counts) or not left[site], "fewer only where none is left"
        shares = [spread(index, fold)[site] for fold in splits.folds]
        assert max(shares) - min(shares) <= 1
    assert sum(map(len, splits.folds)) == (0 if folds == 1 or sum(left.values()) == 1 else sum(left.values()) * scans)
    sizes = [len(fold) // scans for fold in splits.folds]
    assert max(sizes) - min(sizes) <= 1


def test_domains_take_turns():
    domain = {"a1": "A", "a2": "A", "a3": "A", "b1": "B"}
    assert by_turns(["a2", "a1", "b1", "a3"], domain) == ["a2", "b1", "a1", "a3"]


def test_a_group_of_several_domains_counts_for_its_first():
    scans = {"p": "AC", "q": "AC", "r": "BC", "s": "BC"}
    cases = [Case(f"{p}{n}", (Path("i"),), Path("l"), p, None, d) for p in scans for n, d in enumerate(scans[p])]
    for seed in range(8):
        tested = draw_splits(Index(Path("data"), tuple(cases)), test=0.5, seed=seed, stratify=True).test
        assert Counter("A" if name[0] in "pq" else "B" for name in tested) == {"A": 2, "B": 2}


def test_without_domains_there_is_nothing_to_stratify_by():
    index = sites({"A": 5})
    bare = replace(index, cases=tuple(replace(c, domain=None) for c in index.cases))
    with pytest.raises(ValueError, match=r"--stratify .* no case has one; .* the column domain of a CSV table"):
        draw_splits(bare, stratify=True)


# ------------------------------------------------------------------ lists


def listed(count, parts=("train",), scans=1):
    """``count`` patients, not in the order of their names, whose parts come in turn: train first."""
    names = [f"p{n * 37 % 101:03}" for n in range(count)]
    size = -(-count // len(parts))
    place = lambda n: parts[n // size]
    cases = [Case(f"{name}_{scan}", (Path("i"),), Path("l"), name, place(n))
             for n, name in enumerate(names) for scan in range(scans)]  # fmt: skip
    return Index(Path("data"), tuple(cases), ordered=True), names


def test_the_left_atrium_trains_on_all_80_and_labels_the_first(tmp_path):
    """train.list and test.list alone: nothing is validated on, for that would eat of the first 8."""
    index, names = listed(100, ("train",) * 4 + ("test",))
    splits = draw_splits(index)
    assert splits.folds == ((),) and splits.test == tuple(f"{n}_0" for n in names[80:])
    for draw in (0, 1, 9, 10, 123):
        assert splits.labeled(fold=0, draw=draw, budget=8) == tuple(f"{n}_0" for n in names[:8])
        assert splits.labeled(fold=0, draw=draw, budget=16) == tuple(f"{n}_0" for n in names[:16])
    known = splits.labeled(fold=0, draw=0, budget=8)
    assert len(splits.pool([c.name for c in index.cases], known, fold=0)) == 72
    assert splits.drawn["order"] == "listed" and splits.listed
    write_splits(splits, tmp_path / "splits.yaml")
    again = read_splits(tmp_path / "splits.yaml", index.cases)
    assert again == splits and again.listed and "order: listed" in (tmp_path / "splits.yaml").read_text()


def test_a_validation_list_is_the_only_fold_and_patients_are_counted():
    """ACDC: the first patients of the list, both frames of each."""
    index, names = listed(30, ("train", "val", "test"), scans=2)
    for folds in (None, 4):
        splits = draw_splits(index, folds=folds)
        assert {index[n].split for n in splits.test} == {"test"}
        (fold,) = splits.folds
        assert {index[n].split for n in fold} == {"val"} and len(fold) == 20
        assert splits.labeled(fold=0, draw=4, budget=3) == tuple(f"{n}_{s}" for n in names[:3] for s in (0, 1))


@pytest.mark.parametrize("folds", [2, 3, 7])
def test_what_is_drawn_all_the_same_comes_from_the_end(folds):
    """No test list, and folds asked for."""
    index, names = listed(25)
    splits = draw_splits(index, test=0.2, folds=folds)
    assert set(splits.test) == {f"{n}_0" for n in names[20:]}
    assert [c for fold in splits.folds[::-1] for c in fold] == [f"{n}_0" for n in names[:20]]
    assert splits.labeled(fold=0, draw=3, budget=8) == tuple(f"{n}_0" for n in names[:8])


@pytest.mark.parametrize("ordered", [True, False])
def test_a_single_fold_holds_out_nothing(ordered):
    splits = draw_splits(replace(listed(25)[0], ordered=ordered), test=0.2, folds=1)
    assert splits.folds == ((),) and len(splits.labeled(fold=0, draw=0, budget=None)) == 20


def test_the_order_of_the_lists_is_read(tmp_path):
    rng = np.random.default_rng(0)
    lists = {"train": ["patient009_frame01", "patient002_frame02", "patient009_frame02", "patient002_frame01"],
             "test": ["patient001_frame01"]}  # fmt: skip
    for part, names in lists.items():
        for name in names:
            h5(tmp_path / "data" / f"{name}.h5", *blob(rng, (4, 6, 6)))
        (tmp_path / f"{part}.list").write_text("\n".join(names))
    index = read_index(tmp_path)
    assert index.ordered
    labeled = draw_splits(index).labeled(fold=0, draw=5, budget=1)
    assert labeled == ("patient009_frame01", "patient009_frame02")
    (tmp_path / "train.list").rename(tmp_path / "other")
    for file in (tmp_path / "data").iterdir():
        file.rename(tmp_path / file.name)
    (tmp_path / "data").rmdir()
    assert not read_index(tmp_path).ordered, "loose files have no order"
