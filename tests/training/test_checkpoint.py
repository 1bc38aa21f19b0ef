import errno
import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from halfmask.training import checkpoint
from halfmask.training.run import read_contents


def test_what_was_saved_is_loaded(tmp_path):
    content = {"step": 3, "nested": {"a": [1, (2, 3)]}, "state": {"w": torch.randn(3).bfloat16()}, "none": None}
    checkpoint.save(tmp_path / "last.pt", content)
    found = checkpoint.load(tmp_path / "last.pt")
    assert torch.equal(found["state"]["w"], content["state"]["w"])
    assert {k: v for k, v in found.items() if k != "state"} == {k: v for k, v in content.items() if k != "state"}


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), r"last\.pt cannot be written: No space left on device$"),
        (OSError("not here"), r"last\.pt cannot be written: not here$"),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 704 vs 598"), "no space left on"),
        (RuntimeError("basic_ios::clear: iostream error"), r"last\.pt cannot be written: no space left on .*--resume$"),
    ],
)
def test_a_failed_save_leaves_the_old_checkpoint_and_nothing_else(error, told, tmp_path, monkeypatch):
    checkpoint.save(tmp_path / "last.pt", {"step": 1})

    def full(content, file):
        file.write_bytes(b"half a chec")
        raise error

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match=told):
        checkpoint.save(tmp_path / "last.pt", {"step": 2})
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]
    assert checkpoint.load(tmp_path / "last.pt") == {"step": 1}


def test_a_fault_of_ours_while_saving_is_no_full_disk(tmp_path):
    with pytest.raises((AttributeError, pickle.PicklingError)):
        checkpoint.save(tmp_path / "last.pt", {"state": lambda: None})
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
@pytest.mark.parametrize("size", [1, 3_000_000])
def test_what_pytorch_says_of_a_full_disk_is_known(size):
    with pytest.raises(RuntimeError) as told:
        torch.save({"a": torch.ones(size)}, "/dev/full")
    assert checkpoint._SHORT.search(str(told.value))


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


def test_pytorchs_reasons_are_put_in_words(tmp_path):
    """Its own advise to run the code in a file."""
    file, state = tmp_path / "last.pt", nn.Conv2d(1, 2, 3).state_dict()

    def told(suspect=None):
        if suspect is not None:
            file.write_bytes(suspect)
        with pytest.raises(ValueError, match="cannot be read as a checkpoint") as error:
            checkpoint.load(file)
        text = str(error.value)
        assert "weights_only" not in text and "\n" not in text
        return text.removeprefix(f"{file} cannot be read as a checkpoint: ").partition(";")[0]

    assert told(b"epoch: 3\n") == told(b"<html>not found</html>") == "it is no file of PyTorch's"
    torch.save(state, file)
    whole = file.read_bytes()
    assert told(whole[: len(whole) // 2]) == told(whole[:-5]) == "it is cut short"
    torch.save(state, file, _use_new_zipfile_serialization=False)
    old = file.read_bytes()
    for length in (1, 20, len(old) // 2, len(old) - 5):
        assert told(old[:length]) == "it is cut short, or not PyTorch's"
    for new in (True, False):
        torch.save(state, file, pickle_protocol=4, _use_new_zipfile_serialization=new)
        assert told() == "it is pickled in another protocol than PyTorch's, 2, or damaged"
    torch.save(nn.Conv2d(1, 2, 3), file)
    assert told() == "it holds torch.nn.modules.conv.Conv2d, which could run code"
    assert told(pickle.dumps({"a": 1}, 2)) == "it is cut short, or not PyTorch's"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.txt", "text")
    assert told() == "it is cut short, or not PyTorch's"
    with zipfile.ZipFile(file, "w") as archive:  # as torch.jit.save leaves it
        for name in ("data.pkl", "constants.pkl", "version"):
            archive.writestr(f"net/{name}", b"3")
    assert told() == "it is a TorchScript program, which is code"
