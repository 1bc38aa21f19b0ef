"""What a run has seen it is not measured on, nor what starts from it."""

import json
import shutil

import pytest
import yaml

from halfmask import verbs
from halfmask.training import checkpoint


@pytest.fixture
def store(prepared, tmp_path):
    """A store that can be edited."""
    return shutil.copytree(prepared(2).path, tmp_path / "store")


def resplit(store, **changes):
    """Edit splits.yaml; cases whose patients are tested leave folds and orders."""
    splits = yaml.safe_load((store / "splits.yaml").read_text()) | changes
    group = lambda c: splits["groups"].get(c, c)
    out = {group(c) for c in splits["test"]}
    for part in ("folds", "labeled"):
        splits[part] = [[c for c in names if group(c) not in out] for names in splits[part]]
    (store / "splits.yaml").write_text(yaml.safe_dump(splits))


@pytest.fixture
def train(tmp_path):
    def run(name, store, method="mean_teacher", **options):
        given = {"steps": 1, "validations": 1, "threads": 0, "labels": "2"} | options
        verbs.train(method, store, out=tmp_path / name, **given)
        return tmp_path / name

    return run


def parts(run):
    return checkpoint.load(run / "last.pt")["cases"]


# ------------------------------------------------------------------ predict --split fold


def test_a_run_predicts_what_its_fold_held_out(store, train, capsys):
    run = train("run", store, fold=1)
    (held,) = yaml.safe_load((store / "splits.yaml").read_text())["folds"][1]
    assert [p.name for p in verbs.predict(run, split="fold")] == [f"{held}.nii.gz"]
    about = json.loads((run / "masks" / "prediction.json").read_text())
    assert (about["split"], about["cases"]) == ("fold", [held])
    with pytest.raises(ValueError, match=r"the fold holds out chose best\.pt.*use --checkpoint last"):
        verbs.predict(run, split="fold", checkpoint="best")


def test_a_fold_that_the_run_has_learned_from_is_refused(store, train, tmp_path):
    run = train("run", store)
    labeled, pool = parts(run)["labeled"][0], parts(run)["unlabeled"]
    before = yaml.safe_load((store / "splits.yaml").read_text())
    resplit(store, folds=[[labeled]])
    with pytest.raises(
        ValueError, match=rf"has seen 1 cases that .*splits\.yaml now holds out in fold 0.*: {labeled};"
    ):
        verbs.predict(run, split="fold", out=tmp_path / "masks")
    resplit(store, folds=before["folds"], groups={before["folds"][0][0]: "p", pool[0]: "p"})
    with pytest.raises(ValueError, match=rf"or their patients: {pool[0]};"):
        verbs.predict(run, split="fold", out=tmp_path / "masks")
    resplit(store, folds=[[]], groups={})
    with pytest.raises(ValueError, match=r"fold 0 of .* holds out no cases, so there is nothing to predict"):
        verbs.predict(run, split="fold", out=tmp_path / "masks")
    assert not (tmp_path / "masks").exists()


# ------------------------------------------------------------------ train --init


def test_weights_that_have_seen_sealed_cases_are_refused(store, train, tmp_path):
    first = train("first", store)
    labeled, held = parts(first)["labeled"][0], parts(first)["validation"][0]
    resplit(store, test=["phantom_000", labeled, held])
    names = ", ".join(sorted([labeled, held]))
    for init in (first, first / "last.pt"):
        with pytest.raises(
            ValueError, match=rf"first.* has seen 2 cases that this store seals for testing.*: {names}\n"
        ):
            train("second", store, init=init, labels="1")
    assert not (tmp_path / "second").exists()
    resplit(store, test=["phantom_000"])
    train("second", store, init=first, labels="1")


def test_what_the_fold_holds_out_is_not_learned_before(store, train):
    """What only validated is allowed, unless it chose the weights."""
    first = train("first", store, labels=None)
    held = parts(first)["validation"][0]
    seen = yaml.safe_load((store / "splits.yaml").read_text())["folds"][1][0]
    with pytest.raises(ValueError, match=rf"has seen 1 cases that fold 1 holds out.*: {seen}\nstart from"):
        train("second", store, init=first, fold=1)
    with pytest.raises(ValueError, match=rf"best\.pt has seen 1 cases that fold 0 holds out.*: {held}\n"):
        train("second", store, init=first / "best.pt")
    train("second", store, init=first)


def test_patients_of_another_store_count_by_name(store, train, tmp_path):
    """A scan that this store does not have, of a patient that it seals."""
    other = shutil.copytree(store, tmp_path / "other")
    case = yaml.safe_load((other / "splits.yaml").read_text())["labeled"][0][0]
    resplit(other, groups={case: "Ann"})
    first = train("first", other, labels=None, fold=next_fold(other, case))
    resplit(store, groups={"phantom_000": "Ann"})
    with pytest.raises(ValueError, match=rf"has seen 1 cases that this store seals for testing, or .*: {case}\n"):
        train("second", store, init=first, fold=next_fold(store, case), labels="1")


def next_fold(store, case):
    """The first fold that does not hold out a case."""
    folds = yaml.safe_load((store / "splits.yaml").read_text())["folds"]
    return next(n for n, names in enumerate(folds) if case not in names)


def test_what_came_before_the_weights_counts_too(store, train):
    first = train("first", store)
    labeled = parts(first)["labeled"][0]
    later = train("later", store, init=first, method="supervised", labels="1", draw=other_draw(store, labeled))
    assert labeled not in parts(later)["labeled"]
    resplit(store, test=["phantom_000", labeled])
    with pytest.raises(ValueError, match=rf"first has seen 1 cases that this store seals .*: {labeled}\n"):
        train("last", store, init=later, method="supervised", labels="1")


def other_draw(store, case):
    """A draw whose first label is not that of a case."""
    told = yaml.safe_load((store / "splits.yaml").read_text())
    firsts = [next(c for c in order if c not in told["folds"][0]) for order in told["labeled"]]
    return next(n for n, first in enumerate(firsts) if first != case)
