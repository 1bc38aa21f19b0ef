"""The automatic choice: what a search may see, and what it leaves."""

import json

import pytest

from halfmask import methods, verbs
from halfmask.data.store import Store
from halfmask.report.gather import gather
from halfmask.report.page import page
from halfmask.study.alone import alone
from halfmask.study.choice import STRATEGIES, _view, candidates_of
from halfmask.training.run import load_run


@pytest.fixture(scope="module")
def store(prepared):
    return prepared(2)


def test_it_trains_the_winner_and_says_by_how_much(store, tmp_path, capsys):
    options = {"search": True, "candidates": "supervised,fixmatch", "labels": "3", "steps": 4, "batch": "2+3"}
    verbs.train("auto", store.path, out=tmp_path / "run", validations=0, device="cpu", **options)
    choice = json.loads((tmp_path / "run" / "choice.json").read_text())
    assert sorted([choice["method"], choice["runner_up"]]) == ["fixmatch", "supervised"]
    assert choice["dice"][choice["method"]] >= choice["dice"][choice["runner_up"]]
    told = capsys.readouterr().out
    assert f"{choice['method']} was chosen among 2 methods" in told and f"runner-up is {choice['runner_up']}" in told
    (entry,) = gather([tmp_path / "run"])
    assert entry.method == choice["method"] and "How the method was chosen" in page([entry]).html

    study = json.loads((tmp_path / "run" / "search" / "study.json").read_text())
    assert len(study["runs"]) == 2 * 3 and (tmp_path / "run" / "search" / "report.html").is_file()
    words = json.loads(next(tmp_path.glob("run/search/runs/fixmatch*/job.json")).read_text())["commands"][0]
    assert words[words.index("--batch") + 1] == "2+3"  # as the user wants it, also where supervised reads none

    again = {**options, "labels": "2", "resume": True}
    with pytest.raises(ValueError, match=r"holds runs of another study(.|\n)*other splits"):  # of three labels
        verbs.train("auto", store.path, out=tmp_path / "run", validations=0, device="cpu", **again)
    with alone(tmp_path / "run" / "search"), pytest.raises(ValueError, match="another process works"):
        verbs.train("auto", store.path, out=tmp_path / "run", device="cpu", **{**options, "resume": True})


def test_a_search_sees_the_given_labels_alone(store, tmp_path):
    labeled = store.splits.labeled(fold=0, draw=0, budget=3)
    (tmp_path / "view").mkdir()
    (tmp_path / "view" / "cases").symlink_to(tmp_path / "where the store was")
    view = _view(store, tmp_path / "view", labeled, 0)
    assert isinstance(view, Store) and not set(store.splits.folds[0]) & set(view.stored)
    held = [case for part in view.splits.folds for case in part]
    assert sorted(held) == sorted(labeled)  # each is held out once
    for fold, part in enumerate(view.splits.folds):
        known = view.splits.labeled(fold=fold, draw=4, budget=None)
        pool = view.splits.pool(view.stored, known, fold=fold)
        assert set(known) == set(labeled) - set(part) and not set(part) & set(pool)
        assert set(pool) == set(store.splits.pool(store.stored, labeled, fold=0))
    assert view.case(labeled[0]).label is not None


@pytest.mark.parametrize(
    ("method", "options", "said"),
    [
        ("fixmatch", {"search": True}, "give auto, not 'fixmatch'"),
        ("auto", {"search": True, "slices": 0.5}, "cannot go with --slices"),
        ("auto", {"search": True, "set": ["weight=1"]}, "takes each method as it is"),
        ("auto", {"search": True, "labels": "1"}, "needs two at least"),
        ("auto", {"search": True, "candidates": "supervised,fixmach"}, "did you mean 'fixmatch'"),
        ("auto", {"search": True, "candidates": "supervised"}, "at least two"),
        ("supervised", {"candidates": "supervised,fixmatch"}, "give it too, with auto"),
    ],
)
def test_what_cannot_be_searched_is_refused(store, tmp_path, method, options, said):
    with pytest.raises(ValueError, match=said):
        verbs.train(method, store.path, out=tmp_path / "run", **{"labels": "3", "device": "cpu", **options})


def test_the_default_candidates_are_those_of_ssl2_and_the_recommended_method():
    assert set(candidates_of(None)) == {*STRATEGIES, methods.RECOMMENDED} <= set(methods.names())


def test_without_a_search_auto_is_the_recommended_method(store, tmp_path, capsys):
    verbs.train("auto", store.path, out=tmp_path / "run", steps=1, labels="1", validations=0, device="cpu")
    assert load_run(tmp_path / "run")[1].method == methods.RECOMMENDED
    assert f"auto: {methods.RECOMMENDED}" in capsys.readouterr().err
