import html
import math
import re
from dataclasses import replace

import pytest
from study_folders import study_folder

from halfmask.evaluation.statistics.break_even import break_even
from halfmask.evaluation.statistics.learning import learning_curve
from halfmask.evaluation.statistics.paired import paired_units
from halfmask.report.efficiency import efficiency_plot, efficiency_section
from halfmask.report.scatter import scatter
from halfmask.report.study import read_study

STYLES = {"a": "s0 d0", "b & c": "s1 d1"}


@pytest.fixture
def study(tmp_path):
    return read_study(study_folder(tmp_path, {"a": [0.5, 0.6, 0.7], "b & c": [0.6, 0.65, 0.72]}))


def curves(study):
    return [learning_curve(study.table, arm=arm) for arm in study.arms]


def places(plot):
    """Of the dots, by arm and label: x and y."""
    found = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)" r="3.5"><title>(.*?): ([\d.]+)', plot)
    return {html.unescape(name): (float(x), float(y), float(value)) for x, y, name, value in found}


def test_twice_as_many_labels_are_as_far_apart_anywhere(study):
    at = places(efficiency_plot("t", curves(study), STYLES, "labels"))
    three, six, twelve = (at[f"a, {n} labels"] for n in (3, 6, 12))
    assert six[0] - three[0] == pytest.approx(twelve[0] - six[0], abs=0.11)
    slope = (six[1] - three[1]) / (six[2] - three[2])
    assert (twelve[1] - six[1]) / (twelve[2] - six[2]) == pytest.approx(slope, rel=0.02)
    assert slope < 0, "better is higher"


def test_the_break_even_is_dropped_where_the_baseline_reaches_it(study):
    even = replace(break_even(study.table, arm="b & c", baseline="a", budget="3 labels"), equal=6.0)
    plot = efficiency_plot("t", curves(study), STYLES, "labels", "a", even)
    across, down = re.search(r'd="M[\d.]+ [\d.]+H([\d.]+)V([\d.]+)" class="even"', plot).groups()
    middle = sum(place[0] for name, place in places(plot).items() if "6 labels" in name) / 2
    assert float(across) == pytest.approx(middle, abs=0.11)
    assert "≈ 6" in plot and "b &amp; c" in plot and float(down) == 220
    beyond = replace(even, equal=even.most)
    assert 'class="even"' not in efficiency_plot("t", curves(study), STYLES, "labels", "a", beyond), "more than 24"


def test_many_arms_stay_at_their_budgets(tmp_path):
    many = read_study(study_folder(tmp_path / "many", {f"m{k}": [0.5, 0.6, 0.7] for k in range(12)}, seeds=(0,)))
    styles = {arm: "s0 d0" for arm in many.arms}
    at = places(efficiency_plot("t", curves(many), styles, "labels"))
    assert max(at[f"m{k}, 3 labels"][0] for k in range(12)) - min(at[f"m{k}, 3 labels"][0] for k in range(12)) < 12


def test_every_point_stands_in_the_table_too(study):
    section = efficiency_section(study, STYLES, {})
    for curve in curves(study):
        for point in curve.points:
            assert f"{point.mean:.3f} [{point.low:.3f}, {point.high:.3f}]" in section
            assert point.low < point.mean < point.high
    assert 'class="even"' not in section, "nothing is shown at the smallest budget"
    assert 'class="even"' in efficiency_section(study, STYLES, {("b & c", "3 labels"): True})
    assert "fitted to a" in section and math.isclose(curves(study)[0].points[0].x, 3)


def test_dots_above_the_line_are_units_that_gained(study):
    units = paired_units(study.table, arm="b & c", rival="a", budget="3 labels")
    plot = scatter("t", units, (0.4, 0.7), study, "b & c", "s1")
    dots = [tuple(map(float, dot)) for dot in re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', plot)]
    left, bottom, right, top = map(float, re.search(r'd="M(\S+) (\S+)L(\S+) (\S+)" class="equal"', plot).groups())
    above = [(bottom - y) / (bottom - top) > (x - left) / (right - left) for x, y in dots]
    assert above == list(units["arm"] > units["rival"]) and any(above)
    assert "b &amp; c is better in 8 of 8 patients" in plot
