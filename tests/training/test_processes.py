"""Two processes that train together: in a pool, where they meet over a file, and as the command line starts them."""

import contextlib
import dataclasses
import datetime
import functools
import itertools
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import yaml
from torch import nn

from halfmask import verbs
from halfmask.data.store import Store
from halfmask.inference.predict import Predictor
from halfmask.learning.clock import Clock
from halfmask.learning.minimize import Minimizer
from halfmask.learning.processes import ALONE, Several, norm_statistics
from halfmask.learning.recipe import Recipe
from halfmask.losses.segmentation import cross_entropy
from halfmask.methods.semisupervised import cross_pseudo_supervision, mean_teacher
from halfmask.training import checkpoint, interrupt, launch
from halfmask.training.device import check_devices, make_fabric
from halfmask.training.interrupt import Interrupt
from halfmask.training.journal import read_journal
from halfmask.training.launch import Surroundings, joint_size, surroundings
from halfmask.training.options import Options
from halfmask.training.run import describe
from halfmask.training.trainer import Trainer
from halfmask.training.validation import validate

LOOPBACK = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}

# ---------------------------------------------------------------------------- in a pool


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """``both(function, *args)``: what function(processes, *args) gives in each of two processes, by rank."""
    folder, number = tmp_path_factory.mktemp("meeting"), itertools.count()
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:

        def run(function, *args):
            place = folder / str(next(number))
            futures = [pool.submit(_joined, place, rank, function, *args) for rank in range(2)]
            return [future.result(timeout=100) for future in futures]

        yield run


def _joined(place, rank, function, *args):
    os.environ.update(LOOPBACK)
    torch.set_num_threads(1)
    patience = datetime.timedelta(seconds=60)
    dist.init_process_group("gloo", init_method=f"file://{place}", rank=rank, world_size=2, timeout=patience)
    try:
        return function(Several(local=2), *args)
    finally:
        dist.barrier()
        dist.destroy_process_group()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.used, self.sometimes, self.never = (nn.Linear(3, 1, bias=False) for _ in range(3))

    def forward(self, x, *, all):
        return self.used(x) + (self.sometimes(x) if all else 0)


class Single(nn.Module):
    def __init__(self):
        super().__init__()
        self.student = Net()


def gradients(processes, x, all):
    """The gradients after one call, rank 0 with ``all[0]``; None where there is none."""
    method, half = Single(), len(x) // processes.size
    own = x[processes.rank * half :][:half]
    minimize = Minimizer(method, {"student": torch.optim.SGD(method.parameters(), lr=0.1)}, processes=processes)
    minimize(method.student, loss=method.student(own, all=all[processes.rank]).square().mean())
    return {name: p.grad for name, p in method.student.named_parameters()}


def test_gradients_are_those_of_the_joint_batch_and_a_missing_one_counts_as_zero(both):
    x = torch.randn(4, 3)
    first, second = both(gradients, x, (False, True))
    alone = [gradients(ALONE, part, (all,)) for part, all in ((x[:2], False), (x[2:], True))]
    for name, gradient in first.items():
        assert (gradient is None) == (name == "never.weight"), "what no process gives stays missing: it would decay"
        if gradient is not None:
            assert torch.equal(gradient, second[name])
            parts = [torch.zeros(1, 3) if part[name] is None else part[name] for part in alone]
            torch.testing.assert_close(gradient, sum(parts) / 2)


def everything(processes):
    """What each of the calls gives, on tensors of several dtypes, shapes and layouts."""
    rank = processes.rank
    tensors = [torch.full((2, 3), 1.0 + rank), torch.tensor(4.0 * rank, dtype=torch.float64), torch.empty(0)]
    last = torch.arange(32.0).view(1, 2, 4, 4).to(memory_format=torch.channels_last).mul(1 + rank)
    processes.average([*tensors, last])
    other = [torch.tensor([bool(rank)]), torch.tensor([rank, 7]), torch.tensor(rank + 0.5)]
    processes.spread(other)
    state = {
        "same": torch.ones(5),
        "bank": nn.functional.normalize(torch.eye(4).roll(rank, 0)),
        "unset": last * torch.nan,
    }
    return (
        tensors,
        last,
        other,
        processes.most([rank, 3 - rank]),
        processes.gather(f"of {rank}"),
        processes.differing(state),
    )


def test_each_call_gives_both_the_same(both):
    for tensors, last, other, most, gathered, differing in both(everything):
        assert [t.tolist() for t in tensors] == [[[1.5] * 3] * 2, 2.0, []]
        assert torch.equal(last, 1.5 * torch.arange(32.0).view(1, 2, 4, 4))
        assert last.is_contiguous(memory_format=torch.channels_last)
        assert [t.tolist() for t in other] == [[False], [0, 7], 0.5]
        assert (most, gathered) == ([1, 3], ["of 0", "of 1"])
        assert differing == ["bank"], "of one norm, but not the same"


@contextlib.contextmanager
def plain_losses():
    """Cross-entropy alone: a soft Dice over a batch is no mean over its images, so that of two halves differs."""
    before = {module: module.dice_ce for module in (mean_teacher, cross_pseudo_supervision)}
    for module in before:
        module.dice_ce = cross_entropy
    try:
        yield
    finally:
        for module, loss in before.items():
            module.dice_ce = loss


def made(processes, store, out, method, batch, **settings):
    """A trainer without augmentation, noise and batch norm, whose draws would differ."""
    recipe = Recipe(steps=6, labeled=batch[0], unlabeled=batch[1])
    run = describe(Store(store).plan, method, settings=settings, network=None, recipe=recipe)
    trainer = Trainer(run, Store(store), Path(out), Options(threads=0, validations=1), processes=processes)
    trainer.augment = dataclasses.replace(trainer.augment, enabled=False)
    return trainer


def trained(processes, *args, **settings):
    """The weights after training, the figures of the journal and of validation, and the cases of a step."""
    trainer = made(processes, *args, **settings)
    Path(trainer.out).mkdir(exist_ok=True)
    with plain_losses():
        trainer.train()
    lines = list(read_journal(trainer.out / "journal.jsonl")) if processes.leads else []
    for line in lines:
        line.pop("seconds", None)
    return trainer.method.state_dict(), lines, trainer.loader.cases(4), trainer.loader.epoch(4)


@pytest.mark.parametrize(
    ("method", "settings"),
    [("mean_teacher", {"noise": "0", "weight": "5"}), ("cross_pseudo_supervision", {"weight": "2"})],
)
def test_two_with_half_the_batch_are_one_with_the_whole(both, prepared, tmp_path, method, settings):
    store, function = prepared(2).path, functools.partial(trained, **settings)
    (ours, lines, cases, epoch), (other, silent, more, _) = both(function, store, tmp_path / "two", method, (2, 1))
    theirs, alone, joint, same = function(ALONE, store, tmp_path / "one", method, (4, 2))
    fresh = made(ALONE, store, tmp_path / "none", method, (4, 2)).method.state_dict()
    assert [*cases[:2], *more[:2], cases[2], more[2]] == joint
    assert epoch == same > 0
    for key, value in theirs.items():
        assert torch.equal(ours[key], other[key]), f"{key} is not the same in both"
        torch.testing.assert_close(ours[key], value, atol=1e-6, rtol=1e-5)
    assert any((theirs[key] - fresh[key]).abs().max() > 1e-3 for key in theirs), "nothing was trained"
    assert silent == []
    kept = [[line for line in each if line["kind"] != "pseudo-labels"] for each in (lines, alone)]
    assert len(lines) == len(alone) and [line["kind"] for line in kept[0]] == ["train", "validation"]
    for mine, its in zip(*kept, strict=True):
        figures = [{k: v for k, v in line.items() if k != "kind"} for line in (mine, its)]
        assert figures[0] == pytest.approx(figures[1], rel=1e-4)


def validated(processes, store):
    """The Dice of five cases by a threshold, which is met otherwise in each."""
    opened = Store(store)
    cases = [opened.case(name) for name in sorted(itertools.chain(*opened.splits.folds))]
    bright = lambda x: torch.stack([x[:, 0] * 0, x[:, 0], x[:, 0] - 1], 1).softmax(1)
    return validate(Predictor(bright, opened.plan, torch.device("cpu")), cases, opened.plan, processes)


def test_validation_is_shared_out_and_comes_to_the_same(both, prepared):
    alone = validated(ALONE, prepared(2).path)
    assert all(np.array_equal(found, alone) for found in both(validated, prepared(2).path))
    assert alone.shape == (5, 2) and 0 < alone.mean() < 1 and len(set(alone[:, 0])) == 5


def drawn(processes, store, out):
    """Random numbers of two steps, as augmentation and noise would draw them."""
    trainer, numbers = made(processes, store, out, "mean_teacher", (2, 1)), []
    trainer.method.step = lambda *_: numbers.append(torch.rand(1).item())
    for step, batch in enumerate(trainer.loader.batches(0, 2)):
        trainer.take(batch, Clock(step, 6))
    return numbers


def test_each_draws_its_own_numbers_and_the_first_those_of_one_alone(both, prepared, tmp_path):
    first, second = both(drawn, prepared(2).path, tmp_path)
    assert len({*first, *second}) == 4
    assert first == drawn(ALONE, prepared(2).path, tmp_path)


def broken(processes, store, out, culprit):
    """What ends both when the loss of one is not a number."""
    trainer = made(processes, store, out, "mean_teacher", (2, 1), **{"network.norm": "batch"})
    step = trainer.method.step

    def breaks(batch, minimize, clock):
        factor = torch.nan if (processes.rank, clock.step) == (culprit, 3) else 1
        step(
            dataclasses.replace(batch, labeled=batch.labeled.with_(image=factor * batch.labeled.image)), minimize, clock
        )

    trainer.method.step = breaks
    Path(out).mkdir(exist_ok=True)
    with pytest.raises(ValueError, match="is not finite") as told:
        trainer.train()
    return str(told.value), trainer.loader.cases(3), [s.tolist() for s in norm_statistics(trainer.method)], trainer.step


def test_a_broken_loss_of_one_stops_both_and_names_the_cases_of_that_one(both, prepared, tmp_path):
    first, second = both(broken, prepared(2).path, tmp_path / "run", 1)
    assert first[0] == second[0]
    assert f"step 3: the loss 'supervised' is not finite; the batch held {', '.join(second[1])}. Look" in first[0]
    assert first[3] == second[3] == 3
    assert not (tmp_path / "run" / "last.pt").exists()


def drifting(processes, store, out):
    """A method that keeps what it saw, and so something else in each process."""
    trainer = made(processes, store, out, "mean_teacher", (2, 1))
    trainer.method.register_buffer("seen", torch.zeros(2, 2))
    step = trainer.method.step

    def keeps(batch, minimize, clock):
        mean = batch.labeled.image.mean((2, 3))
        trainer.method.seen += mean if out.name == "apart" else minimize.mean(mean)
        step(batch, minimize, clock)

    trainer.method.step = keeps
    out.mkdir(exist_ok=True)
    try:
        trainer.train()
    except ValueError as e:
        return str(e)
    return trainer.method.seen.tolist()


def test_state_that_comes_apart_is_refused_and_its_mean_is_not(both, prepared, tmp_path):
    first, second = both(drifting, prepared(2).path, tmp_path / "apart")
    assert first == second
    assert not list((tmp_path / "apart").glob("*.pt")), "the best neither"
    assert "the processes have come apart in seen: method 'mean_teacher' moves this by what one process saw" in first
    first, second = both(drifting, prepared(2).path, tmp_path / "mean")
    assert first == second != [[0, 0], [0, 0]]


# ---------------------------------------------------------------------------- as the command line starts them


@pytest.fixture
def start(tmp_path):
    """Start ``halfmask train … --devices 2 --device cpu``; whatever is left of it ends with the test.

    In a folder with a file that is called like a module of Python's.
    """
    started = []
    (tmp_path / "statistics.py").write_text("raise ImportError('not the one that is meant')")

    def run(method, store, out, *more):
        command = [sys.executable, "-P", "-m", "halfmask", "train", method, store, "--out", out, "--devices", 2]
        process = subprocess.Popen(
            [str(part) for part in (*command, "--device", "cpu", "--set", "network.norm=batch", *more)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **LOOPBACK},
            cwd=tmp_path,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.terminate()
        process.communicate(timeout=120)


def wait_for(step, process, out):
    """Until a checkpoint is there and the journal has come to a step."""
    until, journal = time.monotonic() + 120, out / "journal.jsonl"
    while time.monotonic() < until:
        assert process.poll() is None, process.communicate()[1]
        if (out / "last.pt").exists() and journal.exists():
            lines = list(read_journal(journal))
            if lines and lines[-1]["step"] >= step:
                return
        time.sleep(0.01)
    raise AssertionError(f"step {step} was not reached")


def undisturbed(processes, store, out, steps, init):
    """A training in batch norm with a teacher and dropout, all of which may come out otherwise.

    Each process takes over the weights to start from by itself.
    """
    settings = {"network.norm": "batch", "network.dropout": "0.1"}
    run = describe(Store(store).plan, "mean_teacher", settings=settings, network=None, recipe=Recipe(steps=steps))
    trainer = Trainer(run, Store(store), out, Options(validations=3, save_seconds=1000), processes=processes)
    trainer.initialize(str(init))
    trainer.train()


def other_weights(store, out):
    """A run that has not come far, in batch norm, with weights of another seed and statistics that are none's first."""
    settings = {"network.norm": "batch", "network.dropout": "0.1"}
    run = describe(Store(store).plan, "mean_teacher", settings=settings, network=None, recipe=Recipe(steps=6), seed=5)
    Trainer(run, Store(store), out, Options(validations=0)).train()
    return out


def test_stopped_and_gone_on_two_come_to_the_same_weights(both, start, prepared, tmp_path):
    """SIGTERM, going on, with saves at other moments: bit for bit what an undisturbed pair gives.

    The first process alone reads the weights to start from, which the other is given.
    """
    store, torn, steps, init = (
        prepared(2).path,
        tmp_path / "torn",
        90,
        other_weights(prepared(2).path, tmp_path / "init"),
    )
    options = ["--steps", steps, "--validations", 3, "--set", "network.dropout=0.1", "--save-seconds", 0.1]
    options += ["--init", init]
    both(undisturbed, store, tmp_path / "whole", steps, init)

    stopped = start("mean_teacher", store, torn, *options)
    wait_for(10, stopped, torn)
    stopped.terminate()
    told, noted = stopped.communicate(timeout=120)
    assert stopped.returncode == 128 + signal.SIGTERM, noted
    assert noted.count(f"of {steps} steps, all saved; give the same command with --resume to go on") == 1
    assert "Traceback" not in noted and told == ""
    assert 10 < checkpoint.load(torn / "last.pt")["step"] < steps

    resumed = start("mean_teacher", store, torn, *options, "--resume")
    told, noted = resumed.communicate(timeout=120)
    assert resumed.returncode == 0, noted
    assert len(told.splitlines()) == noted.count(f"step {steps}: validation Dice") == 1, "one speaks"
    ours, theirs = (checkpoint.load(run / "last.pt") for run in (torn, tmp_path / "whole"))
    assert (ours["step"], ours["best"]) == (theirs["step"], theirs["best"])
    assert any("running_var" in name for name in theirs["state"])
    for name, value in theirs["state"].items():
        assert torch.equal(ours["state"][name], value), f"{name} differs after resuming"
    assert json.loads((torn / "result.json").read_text())["processes"] == 2
    assert yaml.safe_load((torn / "run.yaml").read_text())["processes"] == 2
    assert not list(torn.glob(".partial-*"))
    settings = ["network.norm=batch", "network.dropout=0.1"]
    with pytest.raises(ValueError, match=r"is of another run; run\.processes: 2 then, 1 now"):
        verbs.train("mean_teacher", store, out=torn, steps=steps, resume=True, set=settings, init=init)


def test_an_error_that_one_meets_ends_both_and_is_told_once(start, prepared, tmp_path):
    """The second validation case, which only the second process reads, cannot be read."""
    store = tmp_path / "store"
    shutil.copytree(prepared(2).path, store)
    splits = yaml.safe_load((store / "splits.yaml").read_text())
    first, (second, *_), *_ = splits["folds"]
    (store / "splits.yaml").write_text(yaml.safe_dump(splits | {"folds": [[*first, second]]}))
    (store / "cases" / second / "image.b2nd").write_bytes(b"broken")
    run = start("supervised", store, tmp_path / "run", "--steps", 6, "--validations", 2)
    told, noted = run.communicate(timeout=120)
    assert run.returncode == 1
    errors = [line for line in noted.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and f"case {second!r}" in errors[0] and "cannot be read" in errors[0], noted
    assert "Traceback" not in noted and "lost the others" not in noted
    assert told == ""


@pytest.mark.parametrize(
    ("scripts", "signals", "code", "told"),
    [
        (["", ""], [], 0, ""),
        (["time.sleep(0.3)", "sys.exit(3)"], [], 3, ""),
        (["time.sleep(100)", "sys.exit(3)"], [], 3, ""),
        (
            ["time.sleep(100)", "os.kill(os.getpid(), 9)"],
            [],
            137,
            "error: process 1 was ended by SIGKILL; was there not enough memory?\n",
        ),
        (["time.sleep(100)"] * 2, [signal.SIGINT] * 2, 130, "stopped\n"),
        (["time.sleep(100)"] * 2, [signal.SIGHUP], 129, "stopped\n"),
        ([f"signal.signal({signal.SIGTERM}, lambda *_: sys.exit(143)); time.sleep(100)"] * 2, [signal.SIGINT], 130, ""),
    ],
    ids=["well", "one fails", "one fails, the other hangs", "one is killed", "Ctrl-C", "closed", "Ctrl-C, saved"],
)
def test_the_launcher_waits_for_all_but_not_for_ever(monkeypatch, capfd, scripts, signals, code, told):
    monkeypatch.setattr(launch, "GRACE", 1.0)
    monkeypatch.setattr(interrupt, "_leave_terminal", lambda: None)  # pytest's
    command = [sys.executable, "-c"]
    started = time.monotonic()
    processes = [subprocess.Popen([*command, f"import os, signal, sys, time\n{script}"]) for script in scripts]
    with Interrupt() as interrupted, launch._ended(processes):
        time.sleep(0.5 if signals else 0)
        for number in signals:
            signal.raise_signal(number)
        assert launch._wait(processes, interrupted) == code
    assert time.monotonic() - started < 30
    assert capfd.readouterr().err == told


def _lives(process):
    """Whether it runs; one that has ended and was not asked for has no command line."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes() != b""
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_processes_that_start_end_with_what_started_them(start, prepared, tmp_path):
    """Killed, it can pass nothing on."""
    run = start("supervised", prepared(2).path, tmp_path / "run")
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children")
    if not children.exists():
        pytest.skip("this system does not end a process with its parent")
    until = time.monotonic() + 60
    while len(ranks := children.read_text().split()) < 2:
        assert time.monotonic() < until
        time.sleep(0.01)
    time.sleep(0.5)
    run.kill()
    while any(_lives(rank) for rank in ranks):
        assert time.monotonic() < until, "they go on by themselves"
        time.sleep(0.05)


# ---------------------------------------------------------------------------- who is asked for


def test_python_is_told_what_to_type(prepared, tmp_path):
    with pytest.raises(ValueError, match=r"2 devices need 2 processes.* halfmask train … --devices 2, or torchrun"):
        verbs.train("supervised", prepared(2).path, out=tmp_path / "run", devices=2, device="cpu")
    with pytest.raises(ValueError, match="no method is called 'supervisd'"):  # found before anything is started
        verbs.train("supervisd", prepared(2).path, out=tmp_path / "run", devices=2, device="cpu")
    with pytest.raises(ValueError, match="--devices is at least 1, got 0"):
        verbs.train("supervised", prepared(2).path, out=tmp_path / "run", devices=0)
    assert not (tmp_path / "run").exists()


def test_gpus_are_counted_before_anything_is_started(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    check_devices("cpu", 3)
    check_devices("auto", 2)
    with pytest.raises(ValueError, match="3 processes on this computer need a GPU each, 2 can be seen"):
        check_devices("auto", 3)


TORCHRUN = {"TORCHELASTIC_RUN_ID": "7", "RANK": "5", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4", "LOCAL_RANK": "1"}
SRUN = {"SLURM_STEP_NUM_TASKS": "6", "SLURM_STEP_NUM_NODES": "2", "SLURM_PROCID": "4"}


@pytest.mark.parametrize(
    ("variables", "here"),
    [
        ({}, None),
        (TORCHRUN, Surroundings("torchrun", 5, 8, 4)),
        (SRUN, Surroundings("srun", 4, 6, 3)),
        (SRUN | TORCHRUN, Surroundings("torchrun", 5, 8, 4)),
        ({"SLURM_NTASKS": "8", "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1"}, None),
    ],
    ids=["nothing", "torchrun", "srun", "torchrun in srun", "a shell of a job with many tasks"],
)
def test_who_else_was_started(monkeypatch, variables, here):
    for name in [name for name in os.environ if name.startswith(("SLURM_", "TORCHELASTIC_"))]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert surroundings() == here
    assert joint_size(None, here) == (here.size if here else 1)
    if here is None:
        assert joint_size(3, here) == 3
        return
    assert joint_size(here.local, here) == here.size
    with pytest.raises(ValueError, match=f"--devices 2 was given, but {here.by} started {here.local} processes"):
        joint_size(2, here)


def test_nodes_with_unequal_numbers_are_refused(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    for name, value in SRUN.items():
        monkeypatch.setenv(name, value)
    for name, value, count in (("STEP_TASKS_PER_NODE", "4,2", 6), ("STEP_NUM_TASKS", "5", 5)):
        monkeypatch.setenv(f"SLURM_{name}", value)
        with pytest.raises(ValueError, match=f"srun started {count} tasks on 2 nodes; every node needs as many"):
            surroundings()


@pytest.mark.parametrize("of_the_job", [None, "8"])
def test_srun_needs_not_say_how_many_a_node(monkeypatch, of_the_job):
    given = {"SLURM_NTASKS": "2", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}
    for name, value in (given | {"SLURM_NTASKS_PER_NODE": of_the_job or ""}).items():
        monkeypatch.setenv(name, value)
    if of_the_job is None:
        monkeypatch.delenv("SLURM_NTASKS_PER_NODE")
    assert make_fabric("cpu", here=Surroundings("srun", 0, 2, 2)).world_size == 2
