import os

import pytest
import torch

from halfmask.training import checkpoint
from halfmask.training.run import read_contents


def test_what_was_saved_is_loaded(tmp_path):
    content = {"step": 3, "nested": {"a": [1, (2, 3)]}, "state": {"w": torch.randn(3).bfloat16()}, "none": None}
    checkpoint.save(tmp_path / "last.pt", content)
    found = checkpoint.load(tmp_path / "last.pt")
    assert torch.equal(found["state"]["w"], content["state"]["w"])
    assert {k: v for k, v in found.items() if k != "state"} == {k: v for k, v in content.items() if k != "state"}


def test_a_failed_save_leaves_the_old_checkpoint_and_nothing_else(tmp_path, monkeypatch):
    checkpoint.save(tmp_path / "last.pt", {"step": 1})

    def full(content, file):
        file.write_bytes(b"half a chec")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(tmp_path / "last.pt", {"step": 2})
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]
    assert checkpoint.load(tmp_path / "last.pt") == {"step": 1}


class Shell:
    """A pickle that would run a command."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_code_in_a_checkpoint_is_refused_not_run(tmp_path):
    torch.save({"format": 1, "state": Shell(f"touch {tmp_path / 'ran'}")}, tmp_path / "last.pt")
    with pytest.raises(ValueError, match=r"last\.pt cannot be read as a checkpoint"):
        checkpoint.load(tmp_path / "last.pt")
    assert not (tmp_path / "ran").exists()


def test_what_is_no_checkpoint(tmp_path):
    with pytest.raises(ValueError, match=r"holds no last\.pt; was it trained by `halfmask train"):
        checkpoint.load(tmp_path / "last.pt")
    (tmp_path / "last.pt").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(ValueError, match=r"last\.pt cannot be read as a checkpoint"):
        checkpoint.load(tmp_path / "last.pt")
    (tmp_path / "last.pt").write_bytes(b"")
    with pytest.raises(ValueError, match=r"cannot be read as a checkpoint: it is empty; if .* remove it, or the whole"):
        checkpoint.load(tmp_path / "last.pt")
    for other in ({"format": 99}, {"weight": torch.ones(1)}, [1, 2]):
        torch.save(other, tmp_path / "last.pt")
        with pytest.raises(ValueError, match=r"last\.pt has format .*, this version reads 1"):
            read_contents(tmp_path / "last.pt")
