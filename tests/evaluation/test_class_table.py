"""What is written of predicted classes is read as it was."""

import math

import numpy as np
import pytest

from halfmask.data.batch import IGNORE
from halfmask.evaluation.class_table import read_cases, read_metrics, render, write_cases, write_metrics
from halfmask.evaluation.classification import confusion, measure

P = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [1 / 3, 1 / 3, 1 / 3]], np.float32)


def test_cases_of_one_class_each(tmp_path):
    names = ["NA", "p x", 'a "b", c']
    write_cases(tmp_path / "cases.csv", ["007", "NA", "é"], P, np.array([0, IGNORE, 2]), names)
    found = read_cases(tmp_path / "cases.csv")
    assert (found.cases, found.classes) == (["007", "NA", "é"], names)
    assert found.truth.tolist() == [0, IGNORE, 2] and (found.probability.astype(np.float32) == P).all()
    lines = (tmp_path / "cases.csv").read_text().splitlines()
    assert lines[0] == 'case,truth,predicted,p NA,p p x,"p a ""b"", c"'
    assert lines[2] == 'NA,,"a ""b"", c",0.100000001,0.300000012,0.600000024'
    write_cases(tmp_path / "cases.csv", ["a", "b", "c"], P, None, names)
    assert not read_cases(tmp_path / "cases.csv").any_known


def test_cases_of_several_labels(tmp_path):
    truth = np.array([[1, 0, IGNORE], [0, 0, 0], [1, 1, 1]])
    write_cases(tmp_path / "cases.csv", ["a", "b", "c"], P, truth, ["x", "y", "z"], multi_label=True)
    found = read_cases(tmp_path / "cases.csv", multi_label=True)
    assert found.multi_label and found.truth.tolist() == truth.tolist()
    assert (tmp_path / "cases.csv").read_text().splitlines()[1].startswith("a,x;?z,x,")
    write_cases(tmp_path / "cases.csv", ["a", "b", "c"], P, None, ["x", "y", "z"], multi_label=True)
    assert not read_cases(tmp_path / "cases.csv", multi_label=True).any_known
    with pytest.raises(ValueError, match="rename them"):
        write_cases(tmp_path / "cases.csv", ["a", "b", "c"], P, truth, ["x;w", "y", "z"], multi_label=True)


def test_another_table_is_refused(tmp_path):
    (tmp_path / "cases.csv").write_text("case,truth,predicted\na,b,b\n")
    with pytest.raises(ValueError, match="p NAME; evaluate anew"):
        read_cases(tmp_path / "cases.csv")
    (tmp_path / "cases.csv").write_text("case,truth,predicted,p x\na,who,x,1\n")
    with pytest.raises(ValueError, match="'who'"):
        read_cases(tmp_path / "cases.csv")


def test_metrics_tell_undefined_from_not_asked(tmp_path):
    measured = measure(P, np.array([0, 2, 2]), ["x", "[red]", "z"])
    write_metrics(tmp_path / "metrics.csv", measured)
    found = read_metrics(tmp_path / "metrics.csv")
    assert list(found) == ["x", "[red]", "z", "mean"] and math.isnan(found["[red]"]["auc"])
    for name, row in measured.items():
        assert found[name] == pytest.approx(row, nan_ok=True, rel=1e-8)


def test_the_terminal_shows_all_of_it():
    names = ["x", "[red]", "z"]
    truth = np.array([0, 2, 2])
    told = render(measure(P, truth, names), confusion(P, truth, names)).splitlines()
    assert told[0].split() == ["x", "[red]", "z", "mean"]
    rows = {line.split()[0]: line.split()[1:] for line in told[2:] if line.strip()}
    assert rows["recall"] == ["1.000", "–", "0.500", "0.750"]
    assert rows["support"] == ["1", "0", "2", "3"] and rows["undefined"] == ["1"]
    assert told[-1].split() == ["z", "1", "0", "1"]
