"""What a study would take, told before it begins."""

import pytest

from halfmask.study.forecast import forecast, told
from halfmask.study.jobs import Place
from halfmask.study.protocol import study_of
from halfmask.study.scheme import preparation_jobs


def lines(**keys):
    study = study_of({"name": "A study", "methods": {"supervised": None}, **keys}, where="here")
    return told(forecast(study, None, crew=None, spacing=None, device="cpu"))


def test_rows_columns_and_runs_are_named_without_data():
    said = lines(question="Why?", methods={"supervised": None, "bound": {"method": "supervised", "labels": ["all"]}},
                 labels=[1, 3, "all"], seeds=[0, 1])  # fmt: skip
    assert said[:2] == ["A study", "Why?"]
    assert "8 runs: 2 arms × 3 budgets × 1 fold × 1 draw × 2 seeds, not all of them crossed" in said
    assert {"arms: supervised; bound", "budgets: 1 label; 3 labels; all labels"} <= set(said)
    assert "shared: the data set is prepared once, for 8 runs" in said and "--data" in said[-1]


def test_what_is_missing_is_told_once_for_all_rows_that_need_it():
    said = lines(methods={"supervised": None, "fixmatch": None, "odd": {"method": "telepathy"}}, folds="all",
                 pretraining={"none": None, "dreams": {"recipe": {"steps": 5}}})  # fmt: skip
    missing = [line for line in said if line.startswith("missing")]
    assert missing == [
        "missing: supervised + dreams; fixmatch + dreams: no method 'dreams'; 10 runs cannot be done",
        "missing: odd: no method 'telepathy'; 5 runs cannot be done",
        "missing: odd + dreams: no method 'telepathy'; no method 'dreams'; 5 runs cannot be done",
    ]
    assert "30 runs: 6 arms × 1 budget × 5 folds × 1 draw × 1 seed" in said
    assert not any("pre-training" in line and line.startswith("shared") for line in said)  # as nobody can use it


def test_a_study_that_lacks_everything_prepares_nothing():
    said = lines(methods={"odd": {"method": "telepathy"}})
    assert not any(line.startswith("shared") for line in said)
    assert "missing: odd: no method 'telepathy'; 1 run cannot be done" in said


def test_a_store_that_was_prepared_otherwise_is_refused_here_too(tmp_path):
    place = Place(tmp_path / "out", tmp_path / "data")
    flat, deep = (
        study_of({"name": "a", "methods": {"supervised": None}, "prepare": {"dims": dims}}, where="a")
        for dims in (2, 3)
    )
    (job,) = preparation_jobs(flat, place)
    job.write()
    (place.out / "store").mkdir()
    (place.out / "store" / "index.json").touch()
    with pytest.raises(ValueError, match="holds a store of another study: --dims 2 then, --dims 3 now"):
        forecast(deep, place, crew=None, spacing=None, device="cpu")
