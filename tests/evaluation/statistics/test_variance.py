import math

import numpy as np
import pandas as pd
import pytest
from outcome_table import row, study

from halfmask.evaluation.statistics.variance import spread

ONE = {"arm": "supervised", "budget": "3 labels"}


def shares(found):
    return {part.name: part.share for part in found.parts}


def test_a_balanced_table_is_the_two_way_analysis_of_the_textbooks():
    values = np.random.default_rng(0).random((6, 4))
    found = spread(study({"supervised": values}), **ONE)
    grand, total = values.mean(), ((values - values.mean()) ** 2).sum()
    patient = sum(4 * (values[u].mean() - grand) ** 2 for u in range(6)) / total
    draw = sum(6 * (values[:, d].mean() - grand) ** 2 for d in range(4)) / total
    assert shares(found) == pytest.approx(
        {"draw and seed": draw, "patient": patient, "rest": 1 - draw - patient}
    )  # fmt: skip
    assert found.sd("patient") == pytest.approx(values.mean(1).std(ddof=1))
    assert found.sd("draw and seed") == pytest.approx(values.mean(0).std(ddof=1))
    rest = found.parts[-1]
    assert (rest.levels, rest.sd) == (15, pytest.approx(math.sqrt((1 - draw - patient) * total / 15)))
    assert found.mean == pytest.approx(grand) and math.isnan(found.sd("fold"))


def test_an_unbalanced_table_is_as_a_least_squares_fit_with_dummies():
    rng = np.random.default_rng(0)
    rows = [row(rng.random(), fold=f, draw=d, seed=s, group=f"p{u}") for f in range(2) for d in range(3)
            for s in range(2) for u in range(7) if rng.random() < 0.6]  # fmt: skip
    table = pd.DataFrame(rows)
    y = table["dice"].to_numpy()
    left, design, expected = ((y - y.mean()) ** 2).sum(), np.ones((len(y), 1)), []
    for column in ("fold", "draw", "seed", "group"):
        levels = table[column].unique()
        design = np.column_stack([design, *((table[column] == level).to_numpy(float) for level in levels)])
        rest = ((y - design @ np.linalg.pinv(design) @ y) ** 2).sum()
        expected.append(left - rest)
        left = rest
    expected = np.array([*expected, left]) / ((y - y.mean()) ** 2).sum()
    found = spread(table, **ONE)
    assert [part.name for part in found.parts] == ["fold", "draw", "seed", "patient", "rest"]
    assert [part.share for part in found.parts] == pytest.approx(list(expected))
    assert sum(part.share for part in found.parts) == pytest.approx(1)
    assert found.parts[-1].levels == len(y) - np.linalg.matrix_rank(design)


def test_in_cross_validation_patients_lie_within_folds():
    values = np.random.default_rng(0).random((3, 4))
    found = spread(pd.DataFrame([row(v, fold=f, group=f"p{f}{u}") for f, fold in enumerate(values)
                                 for u, v in enumerate(fold)]), **ONE)  # fmt: skip
    between = 4 * ((values.mean(1) - values.mean()) ** 2).sum() / ((values - values.mean()) ** 2).sum()
    assert shares(found) == pytest.approx({"fold": between, "patient": 1 - between})


@pytest.mark.parametrize("source", ["draw", "seed", "patient"])
def test_what_alone_varies_has_all_of_the_variance(source):
    rows = [row(0.5 + 0.1 * {"draw": d, "seed": s, "patient": u}[source], draw=d, seed=s, group=f"p{u}")
            for d in range(3) for s in range(2) for u in range(4)]  # fmt: skip
    told = shares(spread(pd.DataFrame(rows), **ONE))
    assert told.pop(source) == pytest.approx(1)
    assert list(told.values()) == pytest.approx([0] * len(told), abs=1e-9)


def test_one_run_is_all_patients_and_equal_results_have_no_shares():
    assert shares(spread(study({"supervised": [0.5, 0.7]}), **ONE)) == pytest.approx({"patient": 1})
    same = spread(study({"supervised": np.full((3, 2), 0.5)}), **ONE)
    assert np.isnan([part.share for part in same.parts]).all() and same.sd("patient") == 0
    assert spread(study({"supervised": [0.5]}), **ONE).parts == ()


def test_one_patient_in_several_draws():
    found = spread(study({"supervised": [[0.5, 0.6, 0.8]]}), **ONE)
    assert shares(found) == pytest.approx({"draw and seed": 1})


def test_undefined_results_are_counted():
    found = spread(study({"supervised": [[0.5, np.nan], [0.6, 0.7], [np.nan, np.nan]]}), **ONE)
    assert (found.left_out, found.units) == (3, 2)
    assert spread(study({"supervised": [np.nan]}), **ONE) is None
    assert spread(study({"x": [0.5]}), **ONE) is None
