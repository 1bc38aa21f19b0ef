import numpy as np
import pandas as pd
import pytest
from outcome_table import row, study

from halfmask.evaluation.statistics.learning import learning_curve
from halfmask.evaluation.statistics.outcomes import case_results, cells, unit_means, unit_word
from halfmask.evaluation.statistics.paired import against

ONE = {"arm": "supervised", "budget": "3 labels"}


def results(rows, metric="dice", structure=None):
    return case_results(pd.DataFrame(rows), **ONE, metric=metric, structure=structure)


def test_a_unit_is_the_mean_over_its_cases_in_each_draw_and_then_over_the_draws():
    rows = [
        row(0.2, case="a"), row(0.4, case="b"), row(0.9, case="a", draw=1, seed=1),
        row(0.6, group="p1"), row(0.7, group="p1", draw=1, seed=1),
    ]  # fmt: skip
    found = unit_means(pd.DataFrame(rows), **ONE)
    assert found.to_dict() == pytest.approx({"p0": (0.3 + 0.9) / 2, "p1": 0.65})


def test_a_case_with_an_undefined_or_missing_structure_is_undefined():
    rows = [row(0.5), row(0.7, structure="RV"), row(0.5, group="p1"), row(0.5, group="p2"), row(np.nan, group="p2",
            structure="RV")]  # fmt: skip
    assert results(rows).droplevel(["fold", "draw", "seed", "case"]).to_dict() == pytest.approx(
        {"p0": 0.6, "p1": np.nan, "p2": np.nan}, nan_ok=True
    )
    assert results(rows, structure="LV").notna().all()
    assert list(unit_means(pd.DataFrame(rows), **ONE).index) == ["p0"]


def test_volume_errors_are_taken_by_their_size():
    rows = [row(0.5) | {"volume_error": -0.2}, row(0.5, group="p1") | {"volume_error": 0.1}]
    assert list(results(rows, "volume_error")) == [0.2, 0.1]


def test_folds_of_a_cross_validation_come_with_the_units_and_folds_on_one_test_part_are_repetitions():
    crossed = cells(results([row(0.5, group=f"p{u}", fold=f) for u in range(3) for f in range(2)]).to_frame())
    assert crossed.values.shape == (1, 3, 2) and list(crossed.repetitions) == ["fold", "draw", "seed"]
    nested = cells(results([row(0.5, group=f"p{u}", fold=u % 2) for u in range(4)]).to_frame())
    assert nested.values.shape == (1, 4, 1) and list(nested.repetitions) == ["draw", "seed"]


def test_gaps_stay_gaps_and_units_without_any_result_are_not_complete():
    found = cells(results([row(0.5), row(0.7, draw=1), row(0.6, group="p1"), row(np.nan, group="p2")]).to_frame())
    assert found.values[0] == pytest.approx(np.array([[0.5, 0.7], [0.6, np.nan], [np.nan, np.nan]]), nan_ok=True)
    assert found.by_unit()[0] == pytest.approx([0.6, 0.6, np.nan], nan_ok=True)
    assert found.complete().units == ["p0", "p1"]


def test_an_arm_without_results_is_empty():
    assert results([row(0.5, arm="other")]).empty
    assert unit_means(pd.DataFrame([row(0.5)]), arm="other", budget="3 labels").empty


def test_the_unit_is_called_a_patient_where_cases_have_groups():
    assert unit_word(pd.DataFrame([row(0.5)])) == "patient"
    assert unit_word(pd.DataFrame([row(0.5, group="p0", case="p0")])) == "case"


def test_faults_are_told_at_once():
    table = study({"supervised": [0.5]}).drop(columns=["seed"])
    with pytest.raises(ValueError, match=r"(?s)no column seed.*no metric 'dise'; did you mean 'dice'"):
        case_results(table, **ONE, metric="dise", structure=None)
    with pytest.raises(ValueError, match="no column arm, budget"):
        against(pd.DataFrame(), "supervised")
    with pytest.raises(ValueError, match="no column arm, budget"):
        learning_curve(pd.DataFrame(), arm="supervised")
    with pytest.raises(ValueError, match="no structure 'lv'; known: LV"):
        results([row(0.5)], structure="lv")
    with pytest.raises(ValueError, match="more than once: fold 0, draw 0, seed 0, group p0, case p0_ED, structure LV"):
        results([row(0.5), row(0.6)])
