"""Weights to start from: files as other tools leave them, the hub, and runs."""

import urllib.error
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from halfmask import verbs
from halfmask.learning.recipe import Recipe
from halfmask.networks.factory import make
from halfmask.training import checkpoint, pretrained
from halfmask.training.options import Options
from halfmask.training.pretrained import named, read
from halfmask.training.run import describe
from halfmask.training.trainer import Trainer

CHANNELS = 2  # of the store
PLAIN = {
    "encoder.levels.0": "encoder.stages.0.0.convs",
    "encoder.levels.1": "encoder.stages.1.0.convs",
    "encoder.levels.2": "encoder.stages.2.0.convs",
    "decoder.levels.1.up": "decoder.transpconvs.0",
    "decoder.levels.0.up": "decoder.transpconvs.1",
    "decoder.levels.1.convs": "decoder.stages.0.convs",
    "decoder.levels.0.convs": "decoder.stages.1.convs",
    "head": "decoder.seg_layers.1",
}
"""Our names as nnU-Net's, of three levels; the names of a test of keys are made from modules instead."""


def nnunets(net):
    """The state under nnU-Net's names, with its duplicates and the last layer of the coarser level."""
    state = {}
    for name, value in net.state_dict().items():
        ours = next(part for part in PLAIN if name.startswith(part + "."))
        theirs = PLAIN[ours] + name.removeprefix(ours)
        again = theirs.replace(".conv.", ".all_modules.0.").replace(".norm.", ".all_modules.1.")
        state |= {theirs: value, again: value}
    state |= {f"decoder.{name}": value for name, value in state.items() if name.startswith("encoder.")}
    return state | {"decoder.seg_layers.0.weight": torch.ones(net.classes, net.widths[1], 1, 1)}


def nnunets_checkpoint(net):
    return {
        "network_weights": nnunets(net),
        "optimizer_state": {"state": {0: {"momentum_buffer": torch.ones(2)}}, "param_groups": [{"lr": 0.01}]},
        "grad_scaler_state": None,
        "logging": {"mean_fg_dice": [np.float32(0.5), np.float64(0.6)], "epoch_end_timestamps": [1.5]},
        "_best_ema": np.float64(0.7),
        "current_epoch": np.int64(3),
        "init_args": {"plans": {"a": [1, None]}, "fold": 0, "device": torch.device("cpu")},
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": (0, 1),
    }


@pytest.fixture
def source(prepared):
    """A U-Net as in the store's plan, its weights all random."""
    net = make("unet", channels=CHANNELS, classes=len(prepared(2).plan.output_names), dims=2, patch=(16, 16), width=4,
               pooling=[(1, 1), (2, 2), (2, 2)], kernels=[(3, 3)] * 3)  # fmt: skip
    for p in net.parameters():
        nn.init.normal_(p, std=0.3)
    return net


@pytest.fixture
def saved(source, tmp_path):
    file = tmp_path / "checkpoint_final.pth"
    torch.save(nnunets_checkpoint(source), file)
    return file


@pytest.fixture
def train(prepared, tmp_path):
    def run(method="supervised", *, dims=2, out="run", **options):
        verbs.train(
            method, prepared(dims).path, out=tmp_path / out, **dict(steps=2, validations=0, threads=0) | options
        )
        return tmp_path / out

    return run


def trainer(prepared, tmp_path, method="supervised", **choices):
    store = prepared(2)
    run = describe(store.plan, method, settings={}, network=None, recipe=Recipe(steps=2), **choices)
    return Trainer(run, store, tmp_path / "out", Options(threads=0, validations=0))


# ---------------------------------------------------------------------------- files


def test_nnunets_checkpoint_gives_its_logits(saved, source, prepared, tmp_path, capsys):
    made = trainer(prepared, tmp_path)
    made.initialize(str(saved))
    x = torch.randn(2, CHANNELS, 16, 16)
    assert torch.equal(made.method.student(x), source(x))
    first, second = capsys.readouterr().err.strip().splitlines()
    assert first.endswith("checkpoint_final.pth holds the weights of nnU-Net's plain U-Net")
    count = len(source.state_dict())
    assert f"student: {count} tensors, 100.0% of the parameters, went over; not used of the source: dec" in second


def test_checkpoints_written_with_numpy_1_are_read(saved, source, tmp_path):
    old = tmp_path / "old.pth"
    with zipfile.ZipFile(saved) as there, zipfile.ZipFile(old, "w") as here:
        for item in there.infolist():
            content = there.read(item)
            if item.filename.endswith("data.pkl"):
                assert b"numpy._core.multiarray" in content
                content = content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
            here.writestr(item, content)
    assert torch.equal(read(str(old))[0].state["head.weight"], source.head.weight)


def test_two_networks_share_an_encoder_alone(saved, source, prepared, tmp_path):
    made = trainer(prepared, tmp_path, "cross_pseudo_supervision")
    made.initialize(str(saved))
    student, peer = made.method.student.state_dict(), made.method.peer.state_dict()
    for name, value in source.state_dict().items():
        assert torch.equal(student[name], value)
        assert torch.equal(peer[name], value) == name.startswith("encoder."), name


def test_an_average_starts_as_its_student(saved, source, prepared, tmp_path):
    made = trainer(prepared, tmp_path, "mean_teacher")
    made.initialize(str(saved))
    for net in (made.method.student, made.method.teacher):
        assert all(torch.equal(net.state_dict()[name], value) for name, value in source.state_dict().items())


def test_safetensors_are_read(source, tmp_path):
    save_file(source.state_dict(), tmp_path / "own.safetensors")
    (weights,) = read(str(tmp_path / "own.safetensors"))
    assert weights.network is None
    assert all(torch.equal(weights.state[name], value) for name, value in source.state_dict().items())


def test_broken_safetensors_are_told(tmp_path):
    (tmp_path / "own.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match=r"own\.safetensors cannot be read as weights: it is empty"):
        read(str(tmp_path / "own.safetensors"))
    (tmp_path / "own.safetensors").write_bytes(b"\x20" + b"\x00" * 7 + b"{torn")
    with pytest.raises(ValueError, match=r"own\.safetensors cannot be read as weights: [^;]*[Hh]eader"):
        read(str(tmp_path / "own.safetensors"))


def test_a_checkpoint_of_a_run_is_its_predictor(train):
    run = train("mean_teacher", validations=1)
    state = checkpoint.load(run / "best.pt")["state"]
    (weights,) = read(str(run / "best.pt"))
    assert (weights.title, weights.network) == ("a unet", "unet")
    assert torch.equal(weights.state["head.weight"], state["teacher.head.weight"])


def test_a_file_needs_no_suffix(source, tmp_path):
    """As in the hub's cache."""
    torch.save(source.state_dict(), tmp_path / "0a1b2c")
    assert torch.equal(read(str(tmp_path / "0a1b2c"))[0].state["head.weight"], source.head.weight)
    save_file(source.state_dict(), tmp_path / "3d4e5f")
    assert torch.equal(read(str(tmp_path / "3d4e5f"))[0].state["head.weight"], source.head.weight)
    with pytest.raises(ValueError, match=r"there is no run, file or hub name 'nope'; give .* hub:resnet34"):
        read("nope")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty holds no last\.pt"):
        read(str(tmp_path / "empty"))


def test_why_a_file_cannot_be_read_is_told(tmp_path):
    """As of checkpoints, and without PyTorch's advice to run what is in it."""
    file = tmp_path / "file.pth"
    file.write_text("epoch: 3")
    with pytest.raises(
        ValueError, match=r"read as weights: it is no file of PyTorch's; give a whole file that holds a"
    ):
        read(str(file))
    file.write_bytes(b"")
    with pytest.raises(ValueError, match=r"cannot be read as weights: it is empty; give a whole file"):
        read(str(file))
    torch.save({"weight": torch.ones(1)}, file, pickle_protocol=4)
    with pytest.raises(ValueError, match=r"read as weights: it is pickled in another protocol than PyTorch's"):
        read(str(file))


class Code:
    """What a harmful file would hold."""

    def __reduce__(self):
        return print, ("this was run",)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (Code(), r"file\.pth cannot be read as weights: it holds print, which could run code"),
        ([1, 2], r"file\.pth holds a list, not the weights"),
        ({"epoch": 1}, r"file\.pth holds no weights of a network, but 'epoch'"),
        (None, r"there is no run, file or hub name '.*file\.pth'; give a run's folder, a file, or hub:resnet18"),
    ],
)
def test_files_that_are_no_weights_are_told(content, told, tmp_path, capsys):
    file = tmp_path / "file.pth"
    if content is not None:
        torch.save(content, file)
    with pytest.raises(ValueError, match=told):
        read(str(file))
    assert "this was run" not in capsys.readouterr().out


# ---------------------------------------------------------------------------- the hub


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


def test_hub_without_network_says_what_to_fetch(cache, monkeypatch):
    def offline(*args, **kwargs):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(ValueError, match=r"hub:swin_tiny cannot be fetched: .*no route to host") as told:
        read("hub:swin_tiny")
    remedy = "; download https://github.com/SwinTransformer/storage/releases/download/v1.0.0/swin_tiny_patch4_window7_"
    assert remedy in str(told.value)
    assert str(told.value).endswith("where there is a network, and give --init swin_tiny_patch4_window7_224.pth")


def test_hub_reads_what_is_in_the_cache(cache):
    cache.mkdir(parents=True)
    torch.save({"layer1.0.conv1.weight": torch.ones(2), "fc.weight": torch.ones(1)}, cache / "resnet34-b627a593.pth")
    (weights,) = read("hub:resnet34")
    assert (weights.network, list(weights.state)) == ("resnet_unet", ["encoder.layer1.0.conv1.weight"])


@pytest.mark.parametrize(
    ("name", "kind", "content"),
    [
        ("resnet18", "resnet_unet", {"layer1.0.conv1.weight": torch.ones(2)}),
        ("resnet50", "resnet50", {"layer1.0.conv1.weight": torch.ones(2), "layer1.0.conv3.weight": torch.ones(2)}),
        ("vit_b16", "vit_b16", {"encoder.layers.encoder_layer_0.ln_1.weight": torch.ones(2)}),
        ("vit_ti16", "vit_b16", {"model": {"cls_token": torch.ones(1, 1, 2)}}),
    ],
)
def test_hub_has_encoders(name, kind, content, cache):
    cache.mkdir(parents=True)
    torch.save(content, cache / pretrained.HUB[name].rpartition("/")[2])
    (weights,) = read(f"hub:{name}")
    assert weights.network == kind
    assert all(key.startswith("encoder.") for key in weights.state)


def test_a_broken_file_in_the_cache_is_told(cache):
    cache.mkdir(parents=True)
    (cache / "resnet34-b627a593.pth").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(ValueError, match=r"hub:resnet34: \S+b627a593\.pth cannot be read: it is cut short; remove it"):
        read("hub:resnet34")


def test_hub_compares_the_checksum(cache, monkeypatch, tmp_path, capsys):
    file = tmp_path / "resnet34-00000000.pth"
    torch.save({"layer1.0.conv1.weight": torch.ones(2)}, file)
    monkeypatch.setitem(pretrained.HUB, "resnet34", file.as_uri())
    with pytest.raises(ValueError, match="hub:resnet34 cannot be fetched: invalid hash value"):
        read("hub:resnet34")
    assert not capsys.readouterr().out


def test_hub_knows_its_names():
    with pytest.raises(ValueError, match=r"no weights are called 'hub:resnet3'; did you mean 'hub:resnet34'"):
        named(Path("hub:resnet3"))
    assert named(Path("hub:swin_unetr")) == "hub:swin_unetr"


# ---------------------------------------------------------------------------- the whole way


def test_a_run_starts_from_a_file_and_resumes_without_it(train, tmp_path, capsys):
    other = make("unet", channels=3, classes=7, dims=2, patch=(16, 16), width=4, pooling=[(1, 1), (2, 2), (2, 2)])
    file = tmp_path / "weights.pt"
    torch.save(nnunets_checkpoint(other), file)
    options = dict(init=file, steps=4, rate=1e-30, weight_decay=0.0, set=["network.width=4"])
    run = train(**options, save_seconds=0)
    told = capsys.readouterr().err
    for part in (
        "weights.pt holds the weights of nnU-Net's plain U-Net",
        "adapted: encoder.levels.0.0.conv.weight from 3 channels to 2",
        "the last layer is new, as its shape differs: head.weight (7, 4, 1, 1) →",
    ):
        assert part in told
    state = checkpoint.load(run / "last.pt")["state"]
    assert torch.equal(state["student.encoder.levels.1.0.conv.weight"], other.encoder.levels[1][0].conv.weight)
    file.unlink()
    train(**options, resume=True)
    assert "holds the weights" not in capsys.readouterr().err


def test_weights_of_another_width_are_refused(train):
    wide = train(set=["network.width=8"])
    with pytest.raises(ValueError, match=r"student: only 0 of .*\(8, 2, 3, 3\) → \(4, 2, 3, 3\).*network\.width=8$"):
        train(init=wide, set=["network.width=4"], out="narrow")


def test_a_state_of_a_whole_method_is_refused(train, tmp_path):
    state = checkpoint.load(train("mean_teacher") / "last.pt")["state"]
    torch.save(state, tmp_path / "state.pt")
    with pytest.raises(ValueError, match=r"a whole method, with student, teacher; give the run's folder, or save the"):
        read(str(tmp_path / "state.pt"))


def test_old_monai_weights_ask_for_their_merging(tmp_path, capsys):
    net = make("swin_unetr", channels=1, classes=2, dims=3, patch=(64,) * 3, feature_size=12, window=2)
    stages = {n.replace("encoder.stages.", ""): v for n, v in net.state_dict().items() if "encoder.stages." in n}
    old = lambda name: f"module.layers{int(name[0]) + 1}.0{name[1:]}".replace("linear", "fc")
    file = tmp_path / "ssl.pt"
    torch.save({"state_dict": {old(name): value for name, value in stages.items()}}, file)
    method = nn.Module()
    method.student = net
    pretrained.initialize(method, str(file), {})
    assert "another network than this one; give --set network.merging=repeated" in capsys.readouterr().err
    pretrained.initialize(method, str(file), {"merging": "repeated"})
    assert "another network" not in capsys.readouterr().err
