import numpy as np
import pandas as pd
import pytest
from outcome_table import curves, row, study

from halfmask.evaluation.statistics.learning import learning_curve

LAW = lambda n: 0.9 - 0.5 * n**-0.7


def test_points_are_the_means_over_patients_and_the_law_goes_through_them():
    table = curves({"supervised": LAW}, [14, 3, 7], draws=2)
    curve = learning_curve(table, arm="supervised")
    assert [(p.budget, p.x) for p in curve.points] == [("3 labels", 3), ("7 labels", 7), ("14 labels", 14)]
    means = table.groupby("labels")["dice"].mean()
    assert [p.mean for p in curve.points] == pytest.approx(list(means))
    value, low, high = curve.at([3, 7, 14, 28])
    assert value == pytest.approx([LAW(n) for n in (3, 7, 14, 28)], abs=1e-4)
    assert (low <= value).all() and (value <= high).all()
    assert all(p.low < p.mean < p.high for p in curve.points)


def test_distances_fall():
    curve = learning_curve(curves({"supervised": LAW}, [1, 3, 7]), arm="supervised", metric="hd95")
    value, low, high = curve.at([1, 3, 7])
    assert value == pytest.approx([10 * (1 - LAW(n)) for n in (1, 3, 7)], abs=1e-3)
    assert (low <= value).all() and (value <= high).all()


def test_patients_that_not_every_budget_has_are_left_out():
    table = pd.concat([study({"x": [0.5, 0.6, 0.1]}), study({"x": [0.7, 0.8]}, labels=6)])
    curve = learning_curve(table, arm="x")
    assert [p.mean for p in curve.points] == pytest.approx([0.55, 0.75])
    assert (curve.units, curve.left_out, curve.law.kind) == (2, 1, "line")


def test_one_budget_has_a_point_and_no_law():
    curve = learning_curve(study({"x": [0.5, 0.6]}), arm="x")
    assert len(curve.points) == 1 and curve.law is None
    with pytest.raises(ValueError, match="x has one budget"):
        curve.at([3])
    assert learning_curve(study({"x": [0.5]}), arm="y") is None
    assert learning_curve(study({"x": [np.nan]}), arm="x") is None


def test_labels_and_slices_are_not_mixed():
    budgets = [(10, 0.1), (10, 0.5), (3, 1.0), (10, 1.0)]
    rows = [row(0.5, group=f"p{u}", labels=labels, slices=slices) for labels, slices in budgets for u in range(3)]
    by = lambda axis: [p.x for p in learning_curve(pd.DataFrame(rows), arm="supervised", by=axis).points]
    assert by("labels") == [3, 10]
    assert by("slices") == [0.1, 0.5, 1]


def test_a_share_of_labels_stands_at_the_mean_count_of_its_folds():
    rows = [row(0.5, fold=f, labels=n, group=f"p{f}") | {"budget": "10 % of labels"} for f, n in enumerate((6, 7))]
    assert learning_curve(pd.DataFrame(rows), arm="supervised").points[0].x == 6.5
