import json

import pytest
from entries import run_folder

from halfmask.report.gather import gather


def test_what_is_missing_is_told_with_what_to_do(tmp_path):
    (entry,) = gather([run_folder(tmp_path / "a", journal=[{"step": 0, "loss": 1.0}])])
    assert (entry.name, entry.method, entry.journal, entry.table) == (
        "a",
        "supervised",
        [{"step": 0, "loss": 1.0}],
        None,
    )
    (told,) = entry.missing
    assert "no masks in" in told and "halfmask predict" in told
    (tmp_path / "a" / "masks").mkdir()
    (tmp_path / "a" / "masks" / "prediction.json").write_text("{}")
    (entry,) = gather([tmp_path / "a"])
    (told,) = entry.missing
    assert "was not measured; run `halfmask evaluate" in told


def test_broken_files_do_not_keep_the_rest_away(tmp_path):
    run = run_folder(tmp_path / "a")
    (run / "result.json").write_text("{")
    (run / "masks").mkdir()
    (run / "masks" / "prediction.json").write_text("[]")
    (run / "masks" / "evaluation.json").write_text("{}")
    (entry,) = gather([run])
    assert entry.run["method"] == "supervised"
    assert [t.partition(" ")[0].rpartition("/")[2] for t in entry.missing] == [
        "prediction.json", "result.json", "evaluation.json",
    ]  # fmt: skip


def test_masks_find_their_run_and_masks_alone_will_do(tmp_path):
    run = run_folder(tmp_path / "run", method="fixmatch")
    for name, about in (("near", {"run": str(run)}), ("far", {"run": "gone", "method": "vnet"})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "prediction.json").write_text(json.dumps(about))
    near, far = gather([tmp_path / "near", tmp_path / "far"])
    assert (near.method, near.folder) == ("fixmatch", run)
    assert (far.method, far.folder) == ("vnet", None)
    assert "the run that made these masks is not known" in far.missing[0]


def test_names_are_as_long_as_they_must_be(tmp_path):
    folders = [run_folder(tmp_path / a / b) for a, b in (("x", "run"), ("y", "run"))]
    assert [e.name for e in gather(folders)] == ["x/run", "y/run"]


def test_what_is_no_run_is_refused_all_at_once(tmp_path):
    run = run_folder(tmp_path / "run")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"(?s)run is given twice\n.*none is no folder\n.*empty holds neither a run"):
        gather([run, run, tmp_path / "none", tmp_path / "empty"])
    with pytest.raises(ValueError, match="give at least one run"):
        gather([])
