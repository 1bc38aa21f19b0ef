"""Source and target apart, in reports on runs and on studies."""

import html
import re

import numpy as np
import pandas as pd
import pytest
from entries import entry, spread
from study_folders import study_folder
from test_page import Reader

from halfmask.evaluation.statistics.gap import closed
from halfmask.report.groups import against_supervised, grouped
from halfmask.report.page import page
from halfmask.report.sides import common_target, known_domains, sides
from halfmask.report.study import read_study
from halfmask.report.study_page import study_page, study_tables

CASES = 16
DOMAINS = {chr(97 + n): "AB"[n % 2] for n in range(CASES)}
"""The cases a, b, … come from A and B in turn."""


def run(name, source_dice, target_dice, *, unlabeled=0, **told):
    """A run with a Dice by and large on cases of A, and another on those of B."""
    dice = np.ravel([spread(mean, CASES // 2) for mean in (source_dice, target_dice)], order="F")
    made = entry(name, dice, recipe={"steps": 100, "unlabeled": unlabeled}, **told)
    made.domains = dict(DOMAINS)
    return made


@pytest.fixture
def runs():
    return [
        run("below", 0.8, 0.5, method="supervised", source=["A"]),
        run("advent", 0.7, 0.6, unlabeled=2, target=["B"]),
        run("above", 0.4, 0.8, method="supervised", source=["B"], seed=1),
    ]


def text_of(page):
    """What a reader sees: without the style sheet."""
    body = re.sub(r"<style>.*?</style>", "", page.html, flags=re.S)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", body)))


def test_runs_are_judged_on_the_target(runs):
    """advent is worse on all cases together, and better on B alone."""
    made = page(runs)
    assert made.summary.startswith(
        "On the target B: advent (source A) did best, with a mean Dice of 0.600: 10.0 points above supervised training"
    )
    assert "better on 8 of 8 cases" in made.summary
    told = text_of(made)
    for part in ("over 8 cases of the target B. ★", "Domain A below 0.800 ± 0.012 2.00 ± 0.12 8 source",
                 "8 not seen Domain B, the target below 0.500 ± 0.012 5.00 ± 0.12 8 not seen advent 0.600",
                 "above 0.800 ± 0.012 2.00 ± 0.12 8 source", "the same draws and cases of the target B"):  # fmt: skip
        assert part in told, part
    Reader(made.html)


def test_sources_are_told_apart_and_never_set_against_one_another(runs):
    groups = grouped(runs)
    assert [g.title for g in groups] == ["supervised (source A)", "advent (source A)", "supervised (source B)"]
    (found,) = against_supervised(groups)
    assert found.rival.entries[0].name == "below", "the one with the same labels, not the ceiling"


def test_what_a_run_leaves_open_is_all_but_the_other_side(runs):
    known = known_domains(runs)
    assert [(s.source, s.target, s.adapts) for s in (sides(r, known) for r in runs)] == [
        (("A",), ("B",), False), (("A",), ("B",), True), (("B",), ("A",), False),
    ]  # fmt: skip
    assert common_target(runs) == ("B",), "the ceiling's other side is no target"
    assert common_target([*runs, run("other", 0.5, 0.5, unlabeled=2, source=["B"])]) is None, "two disagree"
    assert common_target([runs[0], runs[2]]) is None
    runs[1].domains = runs[0].domains = runs[2].domains = dict.fromkeys(DOMAINS, "A")
    assert common_target(runs) is None, "nothing of it was measured"


def test_a_target_changes_nothing_for_a_run_that_never_sees_it_and_adapting_at_test_time_does():
    plain = [run("one", 0.8, 0.5, method="supervised", source=["A"]),
             run("two", 0.8, 0.5, method="supervised", source=["A"], target=["B"], seed=1)]  # fmt: skip
    assert len(grouped(plain)) == 1
    adapted = run("three", 0.8, 0.6, method="supervised", source=["A"])
    adapted.prediction = {"test_time": "entropy"}
    groups = grouped([*plain, adapted])
    assert groups[1].title == "supervised (test_time entropy)"
    assert [c.ours.title for c in against_supervised(groups)] == [groups[1].title]


def test_domains_without_a_target_are_shown_and_change_no_figure():
    bare = [run("supervised", 0.8, 0.5), run("fixmatch", 0.7, 0.7, unlabeled=2)]
    told = text_of(page(bare))
    assert (
        "Domain A supervised 0.800" in told
        and "In training" not in told
        and "Mean ± standard deviation over 16 cases." in told
    )
    assert "target" not in told
    for each in bare:
        each.domains = dict.fromkeys(DOMAINS, "A")
    assert "By domain" not in text_of(page(bare))


ARMS = {"source only": [0.5, 0.55], "adv<ent": [0.6, 0.65], "on target": [0.7, 0.75], "gone": [None, None]}
BUDGETS = {"3 labels": 3, "6 labels": 6}


def domain_study(folder, **told):
    """Odd patients are of B, where all is as in ARMS; on A all arms are at 0.9 and the adapting one below."""
    told = {"target": ["B"], "ceiling": "on target", **told}
    study_folder(folder, ARMS, budgets=BUDGETS, seeds=(0, 1, 2), patients=16, cases=1, **told)
    table = pd.read_csv(folder / "results.csv")
    odd = table["group"].str[1:].astype(int) % 2 == 1
    table["domain"] = np.where(odd, "B", "A")
    table.loc[~odd, "dice"] += 0.9 - table["arm"].map({arm: means[0] for arm, means in ARMS.items()})
    table.loc[~odd & (table["arm"] == "adv<ent"), "dice"] -= 0.2
    table.to_csv(folder / "results.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return domain_study(tmp_path_factory.mktemp("domains"))


def test_a_study_is_judged_on_the_target(folder):
    made = study_page(folder)
    assert made.summary.startswith("On the target B: adv<ent beats source only by "), "the ceiling is no rival"
    assert "All this is on the 8 cases of the target B, of 16 that were measured." in made.summary
    share = re.search(r"adv<ent closes (\d+) % \[\d+, \d+\] of the gap between source only and on target", made.summary)
    assert int(share[1]) == pytest.approx(50, abs=6)
    told = text_of(made)
    for part in ("over 8 patients of the target B, 3 runs behind each cell", "on target, the ceiling, is not ranked",
                 "Points are means over patients of the target B", "Measured on the 16 cases",
                 "Method A (source) B (target) Share of the gap closed"):  # fmt: skip
        assert part in told, part
    found = Reader(made.html)
    assert len(found.ids) == len(set(found.ids)) and "<ent" not in made.html


def test_the_table_by_domain_holds_what_plain_pandas_says(folder):
    made, table = study_tables(folder), pd.read_csv(folder / "results.csv")
    rows = [line.split(" | ") for line in made["table.md"].split("Dice by domain")[1].splitlines() if "|" in line]
    assert rows[0] == ["| Method", "Budget", "A (source)", "B (target)", "Gap closed |"]
    by_hand = table.groupby(["arm", "budget", "domain"])["dice"].mean()
    for line in rows[2:]:
        arm, budget, *figures = [cell.strip("| ").replace("&lt;", "<") for cell in line]
        assert [float(f.split()[0]) for f in figures[:2]] == pytest.approx(by_hand[arm, budget].tolist(), abs=6e-4)
    assert [row[-1].strip("| ") for row in rows[2:]][::2][:1] == ["baseline"]
    study = read_study(folder)
    three = {"baseline": "source only", "ceiling": "on target", "budget": "6 labels"}
    found = closed(study.table, arm="adv<ent", **three)
    assert f"{100 * found.share:.0f} % [" in rows[6][-1] and "gone" not in made["table.md"].split("by domain")[1]
    assert r"\begin{tabular}{llrrr}" in made["table.tex"]


def test_all_rows_are_kept_and_without_a_target_all_count(folder, tmp_path):
    study = read_study(folder)
    assert set(study.table["domain"]) == {"B"} and len(study.every) == 2 * len(study.table)
    other = domain_study(tmp_path / "source", target=None, study={"source": ["A"]})
    assert read_study(other).target == ("B",), "all but the source"
    bare = domain_study(tmp_path / "bare", target=None, ceiling=None)
    assert len(read_study(bare).table) == len(study.every)
    told = text_of(study_page(bare))
    assert "By domain" in told and "On the target" not in told and "gap" not in told


def test_a_target_that_nothing_measured_is_told(tmp_path):
    made = study_page(domain_study(tmp_path, target=["C"]))
    assert "No measured case is of the target C, so all this is on the cases that there are." in made.summary


def test_no_gap_is_no_share(tmp_path):
    folder = domain_study(tmp_path)
    table = pd.read_csv(folder / "results.csv")
    table.loc[table["arm"] == "on target", "dice"] -= 0.25
    table.to_csv(folder / "results.csv", index=False)
    made = study_page(folder)
    assert "No gap between source only and on target is shown with 3 labels that could be closed" in made.summary
    assert "No share is told where the interval of the gap itself holds 0" in text_of(made)
    assert "| no gap |" in study_tables(folder)["table.md"]


def test_a_study_without_domains_is_as_it_was(tmp_path):
    folder = study_folder(tmp_path, {"a": [0.5], "b": [0.6]}, budgets={"x": 3})
    assert "By domain" not in text_of(study_page(folder)) and "omain" not in study_tables(folder)["table.md"]
    study = read_study(folder)
    assert study.table is study.every and "target" not in study.told, "as older ones are"
