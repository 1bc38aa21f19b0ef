"""examples/ssl2: its study can be run, and its scripts read what they say they read."""

import importlib.util
from pathlib import Path

import pytest

from halfmask.data.layouts import read_index
from halfmask.study.grid import arms
from halfmask.study.jobs import Place, preparations
from halfmask.study.protocol import read_study

FOLDER = Path(__file__).parents[2] / "examples" / "ssl2"


def script(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_study_has_the_papers_six_rows():
    study = read_study(FOLDER / "study.yaml")
    rows = arms(study)
    assert {arm.title for arm in rows} == set(study.reported.rows)
    assert not any(arm.missing for arm in rows)


def test_pre_training_on_other_data_takes_the_studys_patch():
    study = read_study(FOLDER / "study.yaml")
    variants = {arm.pretraining.label: arm.pretraining for arm in arms(study) if arm.pretraining.method}
    place = Place(Path("out"), Path("few"), Path("many"))
    own, others = preparations(study, place, list(variants.values()))
    for job in (own, others):
        (words,) = job.commands
        assert words[words.index("--set") + 1] == "patch=[48, 48, 48]"


def test_real_cases_become_a_table_that_halfmask_reads(tmp_path):
    real_cases = script("real_cases")
    for name in ("a_T1", "a_FLAIR", "a_lesions", "b_T1", "b_lesions"):
        (tmp_path / f"{name}.nii.gz").touch()
    with pytest.raises(SystemExit, match=r"case 'b' has no .*b_FLAIR\.nii\.gz"):
        real_cases.write_table(tmp_path, tmp_path / "out" / "cases.csv")
    (tmp_path / "b_FLAIR.nii.gz").touch()
    index = read_index(real_cases.write_table(tmp_path, tmp_path / "out" / "cases.csv"))
    assert index.channels == ("T1", "FLAIR")
    assert [path.name for path in index["b"].images] == ["b_T1.nii.gz", "b_FLAIR.nii.gz"]
    with pytest.raises(SystemExit, match="has no CASE_lesions"):
        real_cases.write_table(tmp_path / "out", tmp_path / "no.csv")
