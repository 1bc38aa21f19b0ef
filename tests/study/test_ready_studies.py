"""The ready studies: what their headers promise is what their runs are, and they go through from end to end."""

import json
import re
from pathlib import Path

import pytest

from halfmask import verbs
from halfmask.study.grid import arms, trials
from halfmask.study.jobs import Place, shared
from halfmask.study.protocol import read_study
from halfmask.study.smoke import COHORT, make_small

STUDIES = sorted((Path(__file__).parents[2] / "studies").glob("*.yaml"))
NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4}


def test_all_papers_have_their_studies():
    assert {"ssl2_table2", "ssl2_table4", "ssl2_table5", "must_table1", "must_table2", "must_table3", "must_figure2",
            "comparative_table1", "s4mi_table1", "s4mi_figure5", "slides_acdc", "slides_promise12", "left_atrium",
            "acdc_benchmark"} <= {file.stem for file in STUDIES}  # fmt: skip


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.stem)
class TestOf:
    def test_the_header_tells_command_data_time_and_paper(self, file):
        header = _header(file)
        commands = re.findall(r"halfmask study (\S+) (.*)", header)
        assert commands and all(named == f"studies/{file.name}" for named, _ in commands)
        assert all("--data" in options or "--smoke" in options for _, options in commands)
        told = read_study(file)
        if any((row or {}).get("data") for row in told.pretraining.values()):
            assert "--pretraining-data" in commands[0][1]
        for section in ("DATA", "TIME", "PAPER", "OURS"):
            assert re.search(rf"^{section}\b", header, re.MULTILINE), section
        assert told.question and told.question.endswith("?")

    def test_runs_and_steps_are_those_of_the_header(self, file):
        told, time = read_study(file), re.search(r"^TIME (.*?)^[A-Z]{4}", _header(file), re.M | re.S)
        said = re.match(r"\s*([\d,]+) runs of ([\d,]+) steps", time[1])
        found = trials(told, _folds(told))
        assert (len(found), told.recipe.steps) == tuple(int(number.replace(",", "")) for number in said.groups())
        before = re.search(r"(\w+) pre-trainings?\b", time[1])
        counted = NUMBERS.get(before[1]) or int(before[1]) if before else 0
        assert len(shared(found)) == counted

    def test_each_arm_can_be_run_or_lacks_something_named(self, file):
        every = arms(read_study(file))
        for arm in every:
            assert not arm.missing or re.search(r"no (method|network|weights) '\S+'", arm.missing)

    def test_its_smoke_run_has_every_row_and_few_runs(self, file, tmp_path):
        (tmp_path / COHORT).mkdir()
        for made in ("dataset.json", "cases.csv"):  # so that none is made
            (tmp_path / COHORT / made).touch()
        told = read_study(file)
        small, place = make_small(told, Place(tmp_path, tmp_path))
        assert [arm.title for arm in arms(small)] == [arm.title for arm in arms(told)]
        found = trials(small, _folds(small))
        assert {trial.arm.title for trial in found} == {arm.title for arm in arms(told)}
        assert len(found) <= 6 * len(arms(told)) and small.recipe.steps <= 10
        assert len(_folds(small)) == min(len(_folds(told)), 2) and place.data == tmp_path / COHORT


@pytest.mark.parametrize("name", ["ssl2_table5", "s4mi_figure5"])
def test_a_smoke_run_goes_from_data_to_report(name, tmp_path):
    """Sparse slices and a transformer, one method of three; two networks, a share of labels, weights from elsewhere."""
    (ready,) = [file for file in STUDIES if file.stem == name]
    file = tmp_path / ready.name
    lines = [line for line in ready.read_text().splitlines() if not re.match(r"\s+(mean teacher|CPS)", line)]
    text = "\n".join(lines).partition("\nreported:")[0]  # whose figures are of all budgets
    file.write_text(re.sub(r"^(labels|slices): \[(\d+%), .*\]$", r"\1: [\2]", text, flags=re.MULTILINE))
    table = verbs.study(file, out=tmp_path / "out", smoke=True)
    told = json.loads((tmp_path / "out/study.json").read_text())
    able = {arm.title for arm in arms(read_study(file)) if not arm.missing}
    assert told["smoke"] and {run["arm"] for run in told["runs"]} == set(told["arms"])
    assert {(run["arm"] in able, run["state"]) for run in told["runs"]} <= {(True, "done"), (False, "missing")}
    assert set(table["arm"]) == able and set(table["budget"]) == {r["budget"] for r in told["runs"] if r["arm"] in able}
    page, cells = (tmp_path / "out/report.html").read_text(), (tmp_path / "out/table.md").read_text()
    for arm in told["arms"]:
        assert arm in cells and arm in page
    assert ("not run" in cells) == any(arm not in able for arm in told["arms"])


def test_a_smoke_run_of_whole_images_goes_from_data_to_report(tmp_path):
    """One pre-training that both networks start from, and where each of them looks."""
    (tmp_path / "whole.yaml").write_text("""
        name: whole
        prepare: {classes: kind}
        methods: {classification: }
        networks: {CNN: {network: resnet18}, ViT: {network: vit_ti16}}
        pretraining: {CASS: {method: cass, on: CNN, peer: vit_ti16}}
        recipe: {steps: 100}""")
    table = verbs.study(tmp_path / "whole.yaml", out=tmp_path / "out", smoke=True)
    told = json.loads((tmp_path / "out/study.json").read_text())
    assert (told["task"], {run["state"] for run in told["runs"]}) == ("classification", {"done"})
    mean = table[table["structure"] == "mean"]
    assert list(mean["arm"]) == ["classification + CASS (CNN)", "classification + CASS (ViT)"]
    assert mean["auc"].between(0, 1).all() and set(mean["case"]) == {"all"}
    looked = {folder.name for folder in (tmp_path / "out/runs").glob("*/classes/saliency/*")}
    assert looked == {"gradient", "grad_cam", "rollout"}
    page = (tmp_path / "out/report.html").read_text()
    assert all(text in page for text in ("ROC", "attention rollout", "Pointing game", *told["arms"]))


def _header(file):
    lines = file.read_text(encoding="utf-8").splitlines()
    return "\n".join(line.removeprefix("#").removeprefix(" ") for line in lines if line.startswith("#"))


def _folds(study):
    return range(study.prepare.folds) if study.folds == "all" else study.folds
