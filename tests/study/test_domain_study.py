"""Studies of domain adaptation: rows with their own domains, and rows that differ in how they predict alone."""

import json

import pandas as pd
import pytest

from halfmask import verbs
from halfmask.study.faults import faults_of
from halfmask.study.grid import trials
from halfmask.study.jobs import Place, run_job
from halfmask.study.measure import Cost
from halfmask.study.protocol import study_of
from halfmask.training.run import Run

TOLD = {
    "name": "a", "source": "A", "target": ["B", "C"], "baseline": "source only", "ceiling": "ceiling",
    "methods": {
        "source only": {"method": "supervised"},
        "scan": {"method": "supervised", "predict": {"test_time": "entropy", "test_time_steps": 3}},
        "flipped": {"method": "supervised", "predict": {"flips": True}},
        "own": {"method": "fixmatch", "source": ["A", "D"]},
        "plain": {"method": "fixmatch", "source": None, "target": None},
        "ceiling": {"method": "supervised", "source": "B"},
    },
}  # fmt: skip


def test_rows_have_the_studys_domains_or_their_own():
    sides = {t.arm.title: (t.arm.source, t.arm.target) for t in trials(study_of(TOLD, where="here"), [0])}
    assert sides == {
        **dict.fromkeys(("source only", "scan", "flipped"), (("A",), ("B", "C"))),
        "own": (("A", "D"), ("B", "C")), "plain": (None, None), "ceiling": (("B",), ("B", "C")),
    }  # fmt: skip


def test_what_differs_in_prediction_alone_is_trained_once(tmp_path):
    """The other rows wait for it, and predict from its folder into their own."""
    study = study_of(TOLD | {"seeds": [0, 1]}, where="here")
    found = {(t.arm.title, t.seed): t for t in trials(study, [0])}
    trained = {key: trial.trained for key, trial in found.items()}
    for seed in (0, 1):
        first = found["source only", seed].name
        assert [trained[arm, seed] for arm in ("source only", "scan", "flipped")] == [first] * 3
        assert all(trained[arm, seed] == found[arm, seed].name for arm in ("own", "plain", "ceiling"))
    place, run = Place(tmp_path, tmp_path / "data"), Run("supervised", source=("A",), target=("B", "C"))
    jobs = {arm: run_job(study, found[arm, 0], run, place, Cost(), threads=1) for arm in ("source only", "scan")}
    (train, *_), (predict, evaluate) = jobs["source only"].commands, jobs["scan"].commands
    assert " ".join(train).endswith("--validations 10 --resume") and "--source A --target B,C" in " ".join(train)
    own, first = (f"runs/{found[arm, 0].name}" for arm in ("scan", "source only"))
    assert predict[:2] == ("predict", first) and evaluate[:2] == ("evaluate", f"{own}/masks")
    assert " ".join(predict).endswith(f"--test-time entropy --test-time-steps 3 --out {own}/masks")
    assert jobs["scan"].needs == (found["source only", 0].name,) and not jobs["source only"].needs


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"ceiling": "cieling"}, "the ceiling 'cieling' is no arm; did you mean 'ceiling'"),
        ({"methods": {"supervised": {"predict": {"test_time": "magic"}}}}, "test_time = 'magic'"),
        ({"methods": {"supervised": {"source": []}}}, "source"),
        ({"target": {}}, "target"),
    ],
)
def test_faults_are_told(change, told):
    with pytest.raises(ValueError, match=told):
        study_of(TOLD | {"baseline": None, "ceiling": None} | change, where="here")
    assert not faults_of(study_of(TOLD, where="here"))


def test_a_whole_study_on_made_up_scanners(tmp_path):
    """Smoke run: rows that share a training have figures of both domains, and the page tells them apart."""
    (tmp_path / "study.yaml").write_text("""
name: Small
question: Does it work?
source: 3T
target: 7T
methods:
  source only: {method: supervised}
  scan: {method: supervised, predict: {test_time: statistics}}
networks: {unet: {norm: batch}}
""")
    out = tmp_path / "out"
    verbs.study(tmp_path / "study.yaml", out=out, smoke=True, parallel=1)
    rows = pd.read_csv(out / "results.csv", keep_default_na=False)
    assert rows.groupby("arm")["domain"].agg(lambda d: "".join(sorted(set(d)))).to_dict() == dict.fromkeys(
        ("source only", "scan"), "AB"
    )
    told = json.loads((out / "study.json").read_text())
    first = {run["arm"]: run["trained"] for run in told["runs"]}
    assert first["scan"] == first["source only"]
    assert told["target"] == ["B"] and {run["state"] for run in told["runs"]} == {"done"}
    assert len(list(out.glob("runs/*/last.pt"))) == 1 and len(list(out.glob("runs/*/masks/metrics.csv"))) == 2
    page = (out / "report.html").read_text()
    assert "Looked up in 2 runs" in page  # none had a label of a case that measured it
    assert "By domain" in page and "Dice by domain" in (out / "table.md").read_text()
