"""Whole studies on phantoms, through the command line: killed, gone on with, with a run that fails."""

import json
import os
import shutil
import subprocess
import sys
import time

import pandas as pd
import pytest

from halfmask import verbs
from halfmask.report.study import read_study

STUDY = """
name: Small
question: Does it work?
methods:
  supervised:
  fixmatch:
  wild: {method: supervised, recipe: {rate: 1.0e+30}}
  unborn: {method: telepathy}
labels: [1, 3]
recipe: {optimizer: adamw, rate: 0.005}
"""


@pytest.fixture(scope="module")
def halfway(tmp_path_factory):
    """A study whose process was killed, as by a power cut, when its first run was done."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "study.yaml").write_text(STUDY)
    command = [sys.executable, "-m", "halfmask", "study", "study.yaml", "--out", "out", "--smoke"]
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        until = time.monotonic() + 200
        try:
            while not list(folder.glob("out/runs/*/done.json")):
                assert process.poll() is None and time.monotonic() < until, (folder / "log").read_text()
                time.sleep(0.05)
        finally:
            process.kill()
            process.wait()
    return folder


def test_killed_it_goes_on_and_repeats_nothing_and_one_failure_stops_no_other(halfway, capfd):
    out = halfway / "out"
    before = {file: os.stat(file).st_mtime_ns for file in out.glob("runs/*/done.json")}
    with pytest.raises(ValueError, match="2 of 6 runs failed; the same command tries them again") as caught:
        verbs.study(halfway / "study.yaml", out=out, smoke=True)
    assert "wild-1-label" in str(caught.value) and "not finite" in str(caught.value)
    assert before and all(os.stat(file).st_mtime_ns == then for file, then in before.items())
    told = json.loads((out / "study.json").read_text())
    states = {(run["arm"], run["state"]) for run in told["runs"]}
    assert states == {("supervised", "done"), ("fixmatch", "done"), ("wild", "failed"), ("unborn", "missing")}
    assert (told["baseline"], told["smoke"], told["measured_on"]) == ("supervised", True, "test")
    took = {run["name"]: run["seconds"] for run in told["runs"] if run["state"] == "done"}
    assert all(took.values())  # also of what was done before the kill
    good, lost = out / "runs" / "supervised-1-label-f0-s0" / "masks", out / "runs" / "supervised-2-labels-f0-s0"
    shutil.copytree(good, out / "runs" / "wild-1-label-f0-s0" / "masks")  # as of another run, when this one was good
    (lost / "masks" / "metrics.csv").write_text("cut of")
    (out / "costs.json").write_text("{broken")
    capfd.readouterr()
    with pytest.raises(ValueError, match="2 of 6 runs failed"):  # only they are tried again
        verbs.study(halfway / "study.yaml", out=out, smoke=True)
    told = capfd.readouterr().err
    assert "fixmatch" not in told and "supervised-2-labels-f0-s0: done" in told  # it was measured again


def test_the_table_holds_what_the_runs_measured(halfway):
    table = read_study(halfway / "out").table
    assert len(table) == 4 * 2 * 2  # runs, sealed cases, structures
    assert set(table["labels"]) == {1, 2}  # a smoke run has the smallest counts
    for run, own in table.groupby("run"):
        figures = pd.read_csv(halfway / "out" / "runs" / str(run) / "masks" / "metrics.csv")
        assert own["dice"].to_numpy() == pytest.approx(figures["dice"].to_numpy(), nan_ok=True)
    assert {"report.html", "table.md", "table.tex", "results.csv"} <= {p.name for p in (halfway / "out").iterdir()}


def test_another_study_in_its_folder_is_refused(halfway):
    (halfway / "other.yaml").write_text(STUDY.replace("0.005", "0.006"))
    with pytest.raises(ValueError, match=r"holds runs of another study(.|\n)*rate 0.005 then, --rate 0.006 now"):
        verbs.study(halfway / "other.yaml", out=halfway / "out", smoke=True)


def test_the_same_study_on_other_data_is_refused_in_its_folder(halfway, cohort):
    with pytest.raises(ValueError, match=r"holds a store of another study(.|\n)*cohort then"):  # after --smoke
        verbs.study(halfway / "study.yaml", out=halfway / "out", data=cohort, skip_missing=True)
    splits = halfway / "out" / "store" / "splits.yaml"
    before = splits.read_text()
    first = next(line for line in before.splitlines() if line.startswith("  - ["))
    names = first.removeprefix("  - [").removesuffix("]").split(", ")
    splits.write_text(before.replace(first, f"  - [{', '.join(names[1:])}]", 1))
    with pytest.raises(ValueError, match=r"holds runs of another study(.|\n)*supervised-1-label(.|\n)*other splits"):
        verbs.study(halfway / "study.yaml", out=halfway / "out", smoke=True)
    splits.write_text(before)


def test_it_is_refused_before_it_begins(tmp_path, cohort):
    (tmp_path / "study.yaml").write_text(STUDY)
    with pytest.raises(ValueError, match="names no data"):
        verbs.study(tmp_path / "study.yaml", out=tmp_path / "out")
    with pytest.raises(ValueError, match=r"no method 'telepathy'(.|\n)*--skip-missing"):
        verbs.study(tmp_path / "study.yaml", out=tmp_path / "out", data=cohort)
    (tmp_path / "large.yaml").write_text("name: a\nmethods: {supervised: }\nlabels: [1, 40]\nfolds: [0, 9]\n")
    with pytest.raises(ValueError, match=r"no fold 9(.|\n)*40 were asked for"):
        verbs.study(tmp_path / "large.yaml", out=tmp_path / "large", data=cohort)


def test_a_dry_run_times_a_few_steps_and_leaves_nothing(tmp_path, cohort, capfd):
    # fold 4 of the data set; the few cases that are timed have no such fold
    (tmp_path / "study.yaml").write_text(STUDY + "plan: {patch: [32, 32]}\nprepare: {dims: 2}\nfolds: [4]\n")
    verbs.study(tmp_path / "study.yaml", out=tmp_path / "out", data=cohort, dry_run=True)
    told = capfd.readouterr().out
    assert "8 runs: 4 arms × 2 budgets × 1 fold × 1 draw × 1 seed" in told
    assert "missing: unborn: no method 'telepathy'" in told and "2 runs cannot be done" in told
    assert "s a step" in told and "GiB" in told and "shared: the data set is prepared once, for 6 runs" in told
    assert not (tmp_path / "out").exists()
