"""Domain adaptation: labels of the source, images of the target, and nothing else."""

import dataclasses
import json

import pytest
import torch

from halfmask import methods, verbs
from halfmask.data.layouts import read_index
from halfmask.data.prepare import prepare
from halfmask.data.sample import Stream
from halfmask.learning.recipe import Recipe
from halfmask.training.cases import check_cases, check_domains, labeled_cases, unfit_choice, unlabeled_cases
from halfmask.training.feed import make_loader
from halfmask.training.run import describe

NAMED = methods.names("semisupervised") | methods.names("adaptation")


def described(store, method="fixmatch", **choices):
    return describe(store.plan, method, settings={}, network=None, recipe=Recipe(), **choices)


def of(store, names):
    return {store.splits.domains[name] for name in names}


@pytest.mark.parametrize("sides", [{"source": ("A",), "target": ("B",)}, {"source": ("A",)}, {"target": ("B",)}])
def test_labels_are_the_sources_and_images_the_targets(prepared, sides):
    """One side named, the other is what is left. The target's labels, which the store has, serve no one."""
    store = prepared(2)
    run = described(store, **sides)
    labeled, pool = labeled_cases(run, store), unlabeled_cases(run, store)
    assert of(store, labeled) == {"A"} and of(store, pool) == {"B"}
    hidden = {n for n in store.stored if store.case(n).voxels and store.splits.domains[n] == "B"}
    held = store.splits.held(0)
    assert hidden - held <= set(pool) and not set(pool) & set(labeled)
    plain = described(store)
    assert of(store, labeled_cases(plain, store)) == of(store, unlabeled_cases(plain, store)) == {"A", "B"}
    assert of(store, labeled_cases(described(store, "supervised", source=("B",)), store)) == {"B"}  # the ceiling


def test_a_budget_counts_labels_of_the_source(prepared):
    store = prepared(2)
    every = labeled_cases(described(store, source=("A",)), store)
    assert labeled_cases(described(store, source=("A",), labels=1), store) == every[:1]
    with pytest.raises(
        ValueError, match=f"has {len(every)} labeled groups to train on, 9 were asked for; those of A alone count"
    ):
        labeled_cases(described(store, source=("A",), labels=9), store)


@pytest.mark.parametrize(
    ("sides", "told"),
    [
        ({"source": ("a",), "target": ("C",)}, "no case has the domain 'a'; .*\n.*no case has the domain 'C'"),
        ({"source": ("A", "B")}, r"the source is all domains there are \(A, B\); name the target too"),
    ],
)
def test_domains_that_are_not_there_are_all_told(prepared, sides, told):
    store = prepared(2)
    with pytest.raises(ValueError, match=told):
        check_domains(described(store, **sides), store.splits)


def test_a_side_without_cases_is_told_before_anything_is_stored(prepared):
    """As a study asks before it begins; the labels of the ceiling's row leave no image, and it wants none."""
    store = prepared(2)
    of_b = tuple(name for name in store.splits.domains if store.splits.domains[name] == "B")
    sealed = dataclasses.replace(store.splits, test=of_b)
    run = described(store, source=("A",))
    check_cases(run, store.splits)
    check_cases(described(store, "supervised", source=("B",)), store.splits)
    with pytest.raises(ValueError, match=r"all images of the target B are sealed, held out"):
        check_cases(run, sealed)
    unlabeled = dataclasses.replace(store.splits, orders=(of_b,))
    with pytest.raises(ValueError, match=r"no case of the source A has a label"):
        check_cases(run, unlabeled)
    with pytest.raises(ValueError, match=r"0 labeled groups to train on, 1 were asked for; those of A alone"):
        check_cases(dataclasses.replace(run, labels=1), unlabeled)


def test_it_is_said_when_labels_of_the_target_would_choose(prepared, tmp_path, capsys):
    store = prepared(2)
    other = dataclasses.replace(store.splits, folds=(tuple(n for n, d in store.splits.domains.items() if d == "B"),))
    for run, splits, fits in (
        (described(store, source=("A",)), other, False),
        (described(store, source=("B",)), other, True),
        (described(store), other, True),
        (described(store, source=("A",)), dataclasses.replace(other, folds=((),)), True),
    ):
        assert (unfit_choice(run, splits) == "") == fits
    assert "fold 0 holds out no case of the source A" in unfit_choice(described(store, source=("A",)), other)


def test_what_makes_clusters_has_no_source(prepared, tmp_path):
    with pytest.raises(ValueError, match="reads no label; leave out --source, --target"):
        verbs.train("picie", prepared(2).path, out=tmp_path / "run", source="A", target="B")


def test_a_data_set_without_domains_says_how_to_name_them(prepared):
    store = prepared(2)
    none = dataclasses.replace(store.splits, domains={})
    with pytest.raises(ValueError, match=r"column domain of a CSV table, or by `halfmask prepare --domain"):
        check_domains(described(store, source=("A",)), none)


def test_domains_may_stand_in_the_cases_names(cohort, tmp_path):
    index = read_index(cohort, domain=r"_00\d$")
    assert {case.domain for case in index.cases} == {"A", "B"}, "the data set's own go first"
    folder = tmp_path / "images"
    folder.mkdir()
    for number, case in enumerate(index.cases[:4]):
        (folder / f"{'3T' if number % 2 else '7T'}_{number}.nii.gz").symlink_to(case.images[0])
    assert [case.domain for case in read_index(tmp_path, domain="^(3T|7T)").cases] == ["3T", "3T", "7T", "7T"]
    with pytest.raises(ValueError, match="the domain pattern '3T' does not match"):
        read_index(tmp_path, domain="3T")


@pytest.mark.parametrize("method", sorted(NAMED))
def test_every_method_adapts_from_a_store(prepared, tmp_path, method):
    """Semi-supervised methods too: the labeled half is the source, the unlabeled half the target."""
    verbs.train(method, prepared(2).path, out=tmp_path, source="A", target="B", steps=1, threads=0, validations=0)
    result = json.loads((tmp_path / "result.json").read_text())
    store = prepared(2)
    assert of(store, result["labeled"]) == {"A"}
    assert result["unlabeled"] == (0 if method == "supervised" else len(unlabeled_cases(
        described(store, method, source=("A",), target=("B",)), store)))  # fmt: skip


def test_batches_hold_source_and_target(prepared):
    store = prepared(2)
    run = described(store, "advent", source=("A",), target=("B",))
    loader = make_loader(run, store, torch.device("cpu"), threads=0)
    for batch in loader.batches(0, 3):
        halves = (batch.labeled.case, labeled_cases(run, store)), (batch.unlabeled.case, unlabeled_cases(run, store))
        for (numbers, names), domain in zip(halves, "AB", strict=True):
            assert of(store, [names[number] for number in numbers]) == {domain}
        assert batch.unlabeled.label is None


def test_every_other_labeled_crop_lies_anywhere_where_a_critic_compares(prepared):
    """The second, fourth, … lie on foreground; the others where chance has it, as unlabeled ones do."""
    store = prepared(3)
    cases = [store.case(name) for name in labeled_cases(described(store), store)]
    given = {"patch": (8, 8, 8), "margin": (0, 0, 0), "size": 4, "seed": 0, "name": "labeled", "labeled": True}
    evenly = Stream(cases, **given, evenly=True)

    def on_foreground(slot):
        places = [evenly.place(step, slot) for step in range(60)]
        inside = [
            any(((v >= p.start) & (v < [s + 8 for s in p.start])).all(1).any()
                for k, v in cases[p.case].locations.items() if k)
            for p in places
        ]  # fmt: skip
        return sum(inside) / len(inside)

    assert on_foreground(1) == on_foreground(3) == 1
    assert max(on_foreground(0), on_foreground(2)) < 0.95
    assert methods.find("advent").evenly and not methods.find("fixmatch").evenly


def test_a_search_within_the_labeled_cases_is_refused(prepared, tmp_path):
    with pytest.raises(ValueError, match="leave out --source and --target, or --search"):
        verbs.train("auto", prepared(2).path, out=tmp_path, search=True, source="A")


def test_preparation_tells_how_many_cases_each_domain_has(cohort, tmp_path, capsys):
    prepare(read_index(cohort), tmp_path / "one", dims=2)
    verbs.prepare(cohort, out=tmp_path / "store", dims=2, workers=1)
    told = capsys.readouterr().out
    assert "domain A: 4 cases, 3 with a label" in told and "domain B: 4 cases, 3 with a label" in told
