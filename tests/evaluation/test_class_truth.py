"""Predictions of classes against a table that may hold other classes than those that were trained on."""

import json

import numpy as np
import pytest

from halfmask.data.batch import IGNORE
from halfmask.evaluation.class_table import CASES, write_cases
from halfmask.evaluation.class_truth import ABOUT, judge


def predicted(folder, classes, columns, count):
    """Predictions of c0, c1, … by a model that knows some classes."""
    several = len(columns) > 1
    told = {"task": "classification", "columns": list(columns), "multi_label": several}
    (folder / ABOUT).write_text(json.dumps(told))
    probability = np.full((count, len(classes)), 1 / len(classes))
    write_cases(folder / CASES, [f"c{n}" for n in range(count)], probability, None, classes, multi_label=several)
    return folder


def table(folder, header, *rows):
    text = "\n".join([f"case,image,{header}", *(f"c{n},c{n}.png,{row}" for n, row in enumerate(rows))])
    (folder / "test.csv").write_text(text + "\n")
    return folder / "test.csv"


def truth(folder, *given):
    return judge(folder, table(folder, *given)).predictions.truth


def test_0_and_1_are_grades_where_the_model_knows_more_of_them(tmp_path):
    predicted(tmp_path, ["0", "1", "2"], ["grade"], 3)
    assert truth(tmp_path, "grade", "1", "0", "1").tolist() == [1, 0, 1], "they are not 'grade' and 'no grade'"
    assert truth(tmp_path, "grade", "2", "", "2").tolist() == [2, IGNORE, 2]


def test_0_and_1_are_named_after_their_column_where_the_model_was_trained_so(tmp_path):
    predicted(tmp_path, ["no ill", "ill"], ["ill"], 2)
    assert truth(tmp_path, "ill", "1", "1").tolist() == [1, 1]
    assert truth(tmp_path, "ill", "1", "0", "unsure").tolist() == [1, 0], "of a case that was not predicted"
    with pytest.raises(ValueError, match="has the classes unsure, which the model was not trained on"):
        truth(tmp_path, "ill", "1", "unsure")


def test_a_table_with_faults_is_not_measured_with(tmp_path):
    predicted(tmp_path, ["a", "b"], ["a", "b"], 2)
    assert truth(tmp_path, "a,b", "1,0", "0,").tolist() == [[1, 0], [0, IGNORE]]
    with pytest.raises(ValueError, match=r"case 'c1'.*column 'b' is 'yes'"):
        truth(tmp_path, "a,b", "1,0", "0,yes")
