"""Where a run is to be kept, looked at before it starts."""

import os

import pytest

from halfmask import verbs
from halfmask.training.start import check_out


def test_a_place_that_holds_no_folder_is_named(prepared, tmp_path):
    file = tmp_path / "file"
    file.write_text("something")
    for out in (file, file / "deep" / "run"):
        with pytest.raises(ValueError, match=f"no run can be kept in {out}, as {file} is not a folder; give another"):
            verbs.train("supervised", prepared(2).path, out=out, device="cpu")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="link is not a folder"):
        check_out(tmp_path / "link" / "run")
    check_out(tmp_path / "new" / "run")
    assert not (tmp_path / "new").exists()


def test_a_place_that_may_not_be_written_to_is_named(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(ValueError, match=f"no run can be kept in a/run, as you may not write to {tmp_path};"):
        check_out(type(tmp_path)("a/run"))


def test_weights_that_cannot_be_read_leave_no_empty_run(prepared, tmp_path):
    (tmp_path / "weights.pt").write_bytes(b"no weights")
    with pytest.raises(ValueError, match=r"weights\.pt"):
        verbs.train("supervised", prepared(2).path, out=tmp_path / "run", device="cpu", init=tmp_path / "weights.pt")
    assert not (tmp_path / "run").exists()
