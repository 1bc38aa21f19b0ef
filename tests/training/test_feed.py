"""The draw of labels apart from the seed of weights, order and augmentation."""

import dataclasses

import pytest
import torch
import yaml

from halfmask import verbs
from halfmask.learning.recipe import Recipe
from halfmask.training import checkpoint
from halfmask.training.cases import labeled_cases
from halfmask.training.feed import make_loader
from halfmask.training.run import Run, describe, make_method, run_of


def described(store, **choices):
    return describe(store.plan, "supervised", settings={}, network=None, recipe=Recipe(), **choices)


def first_label(run, store):
    loader = make_loader(run, store, torch.device("cpu"), threads=0)
    return next(iter(loader.batches(0, 1))).labeled.label


def test_the_draw_chooses_the_labels_and_the_seed_the_rest(prepared):
    store = prepared(2)
    orders = store.splits.orders
    draws = [described(store, labels=2, seed=3, draw=draw) for draw in range(4)]
    cases = [labeled_cases(run, store) for run in draws]
    assert cases == [tuple(c for c in orders[d] if c not in store.splits.folds[0])[:2] for d in range(4)]
    assert len(set(cases)) > 1
    assert [labeled_cases(dataclasses.replace(run, seed=9), store) for run in draws] == cases
    one, other = (make_method(store.plan, run).state_dict() for run in draws[:2])
    assert all(torch.equal(one[name], other[name]) for name in one), "another draw has the same first weights"


def test_without_a_draw_it_is_the_seeds_own(prepared):
    store = prepared(2)
    for seed in range(3):
        assert labeled_cases(described(store, labels=2, seed=seed), store) == labeled_cases(
            described(store, labels=2, seed=7, draw=seed), store
        )
    assert (described(store, seed=4).label_draw, described(store, seed=4, draw=0).label_draw) == (4, 0)


def test_sparse_slices_follow_the_draw(prepared):
    """Same case, same crop, other slices annotated."""
    store = prepared(3)
    sparse = {"labels": 1, "slices": 0.3, "seed": 5}
    alone = described(store, **sparse, draw=0)
    (case,) = labeled_cases(alone, store)
    others = [d for d in range(1, 60) if labeled_cases(described(store, **sparse, draw=d), store) == (case,)]
    labels = [first_label(described(store, **sparse, draw=d), store) for d in others[:4]]
    assert any(not torch.equal(labels[0], other) for other in labels[1:])
    assert torch.equal(first_label(alone, store), first_label(alone, store))


def test_runs_of_before_there_were_draws_are_read(prepared, tmp_path):
    run = tmp_path / "run"
    verbs.train("supervised", prepared(2).path, out=run, steps=1, seed=2, threads=0, validations=0)
    content = checkpoint.load(run / "last.pt")
    del content["run"]["draw"]
    assert run_of(content) == Run(**{**vars(run_of(content)), "draw": None})
    assert run_of(content).label_draw == 2
    checkpoint.save(run / "last.pt", content)
    verbs.train("supervised", prepared(2).path, out=run, steps=1, seed=2, threads=0, validations=0, resume=True)


def test_the_draw_is_noted_and_checked(prepared, tmp_path):
    run = tmp_path / "run"
    verbs.train("supervised", prepared(2).path, out=run, steps=1, draw=3, threads=0, validations=0)
    assert yaml.safe_load((run / "run.yaml").read_text())["draw"] == 3
    with pytest.raises(ValueError, match=r"run\.draw: 3 then, 4 now"):
        verbs.train("supervised", prepared(2).path, out=run, steps=1, draw=4, threads=0, validations=0, resume=True)
    with pytest.raises(ValueError, match="--draw is 0 or more, got -1"):
        verbs.train("supervised", prepared(2).path, out=tmp_path / "x", steps=1, draw=-1)
