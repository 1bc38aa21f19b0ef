"""The table of figures: of runs that are done, and of no others."""

import pandas as pd
import pytest
import yaml

from halfmask.data.split import Splits
from halfmask.evaluation import table
from halfmask.study.grid import trials
from halfmask.study.protocol import study_of
from halfmask.study.results import Record, baseline
from halfmask.study.supervise import Outcome

STUDY = study_of({"name": "a", "methods": {"supervised": {}, "fixmatch": {}}}, where="here")
DONE, FAILED = Outcome("done", seconds=1.0), Outcome("failed", "out of memory", 1.0)


@pytest.fixture
def runs(tmp_path):
    """Two runs with figures, which may be stale, and a record of them."""
    both = trials(STUDY, [0])
    for number, trial in enumerate(both):
        masks = tmp_path / "runs" / trial.name / "masks"
        masks.mkdir(parents=True)
        figures = pd.DataFrame({"case": ["007", "NA"], "structure": "liver", "dice": [0.5 + number / 10, 1.0]})
        table.write(figures, masks / "metrics.csv")
        about = {"labeled_cases": ["x1", "x2", "y"], "network": "unet"}
        (masks.parent / "run.yaml").write_text(yaml.safe_dump(about))
    splits = Splits(("007", "NA"), ((),), (("x1", "x2", "y"),), {"x1": "x", "x2": "x", "007": "bond"})
    return tmp_path, both, Record(tmp_path, STUDY, both, splits, smoke=False)


def test_training_alone_is_the_baseline_unless_another_is_named():
    of = lambda **told: baseline(study_of({"name": "a", **told}, where="here"))
    whole = {"prepare": {"classes": "kind"}, "methods": {"classification": {}}, "networks": {"resnet18": {}},
             "pretraining": {"none": None, "dino": {}}}  # fmt: skip
    assert of(methods={"fixmatch": {}, "supervised": {}}) == "supervised"
    assert of(**whole) == "classification" and of(**whole, baseline="classification + dino") == "classification + dino"
    assert of(methods={"fixmatch": {}}) is None
    three = {"top": {"method": "supervised", "source": ["B"]}, "plain": {"method": "supervised"}, "fixmatch": {}}
    assert of(methods=three, source=["A"], ceiling="top") == "plain"


def test_whole_images_have_no_slices_to_label():
    whole = {"name": "a", "prepare": {"classes": "kind"}, "methods": {"classification": {}}}
    for slices in ({"slices": [0.5]}, {"slice_axis": 1}):
        with pytest.raises(ValueError, match="leave out slices and slice_axis"):
            study_of(whole | slices, where="here")


def test_figures_are_of_done_runs_alone(runs):
    out, (good, bad), record = runs
    record({good.name: DONE, bad.name: FAILED}, [])
    found = pd.read_csv(out / "results.csv", dtype=str, keep_default_na=False)
    assert set(found["run"]) == {good.name} and list(found["case"]) == ["007", "NA"]
    assert list(found["group"]) == ["bond", "NA"] and set(found["labels"]) == {"2"}  # patients
    record({good.name: FAILED, bad.name: FAILED, "else": DONE}, [])
    assert not (out / "results.csv").exists()


def test_figures_that_cannot_be_read_yet_come_later(runs):
    out, (first, second), record = runs
    file = out / "runs" / second.name / "masks" / "metrics.csv"
    whole = file.read_text()
    file.write_text("cut of")
    assert record.reads(first) and not record.reads(second)
    record({first.name: DONE, second.name: DONE}, ["else"])
    assert set(pd.read_csv(out / "results.csv")["run"]) == {first.name}
    file.write_text(whole)
    record({first.name: DONE, second.name: DONE}, [])
    assert set(pd.read_csv(out / "results.csv")["run"]) == {first.name, second.name}
