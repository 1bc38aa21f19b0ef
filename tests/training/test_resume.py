"""Runs that are killed, as processes of their own."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch

from halfmask.training import checkpoint
from halfmask.training.interrupt import AGAIN, LAUNCHER, Interrupt
from halfmask.training.journal import Journal, read_journal

STEPS = 150


@pytest.fixture
def start(prepared):
    """Start a training in batch norm with a teacher, and with it all that may get lost; ends with the test."""
    started = []

    def run(out, *more):
        command = [sys.executable, "-m", "halfmask", "train", "mean_teacher", prepared(2).path, "--out", out]
        command += ["--steps", STEPS, "--save-seconds", 0.1, "--validations", 3, "--set", "network.norm=batch", *more]
        process = subprocess.Popen(
            [str(part) for part in command],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()
        process.stderr.close()


def wait_for(step, process, out):
    """Until a checkpoint is there and the journal has come to a step."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        assert process.poll() is None, process.stderr.read()
        journal = out / "journal.jsonl"
        lines = list(read_journal(journal)) if journal.exists() else []
        if lines and lines[-1]["step"] >= step and (out / "last.pt").exists():
            return
        time.sleep(0.01)
    raise AssertionError(f"step {step} was not reached")


def test_killed_and_stopped_it_comes_to_the_same_weights(start, tmp_path):
    """SIGKILL at any moment, going on, SIGTERM, going on: bit for bit what an undisturbed run gives."""
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    undisturbed = start(whole)
    assert undisturbed.wait(200) == 0, undisturbed.stderr.read()

    killed = start(torn)
    wait_for(20, killed, torn)
    time.sleep(random.uniform(0, 0.3))
    killed.kill()
    assert killed.wait(60) == -signal.SIGKILL
    reached = checkpoint.load(torn / "last.pt")["step"]
    assert 0 < reached < STEPS

    stopped = start(torn, "--resume")
    wait_for(reached + 20, stopped, torn)
    stopped.terminate()
    told = stopped.communicate(timeout=60)[1]
    assert stopped.returncode == 128 + signal.SIGTERM, told
    assert f"of {STEPS} steps, all saved; give the same command with --resume to go on" in told
    assert "Traceback" not in told
    later = checkpoint.load(torn / "last.pt")["step"]
    assert reached < later < STEPS

    resumed = start(torn, "--resume")
    assert resumed.wait(200) == 0, resumed.stderr.read()

    ours, theirs = (checkpoint.load(run / "last.pt") for run in (torn, whole))
    assert ours["step"] == theirs["step"] == STEPS
    assert ours["best"] == theirs["best"]
    assert {n.split(".")[0] for n in theirs["state"]} == {"student", "teacher"}
    assert any("running_var" in n for n in theirs["state"])
    for name, value in theirs["state"].items():
        assert torch.equal(ours["state"][name], value), f"{name} differs after resuming"
    for name, value in checkpoint.load(whole / "best.pt")["state"].items():
        assert torch.equal(checkpoint.load(torn / "best.pt")["state"][name], value), f"{name} of best.pt differs"

    journals = [list(read_journal(run / "journal.jsonl")) for run in (torn, whole)]
    for journal in journals:
        for line in journal:
            line.pop("seconds", None)
    assert journals[0] == journals[1], "each step once, with the same figures"
    assert json.loads((torn / "result.json").read_text())["steps"] == STEPS
    assert not list(torn.glob(".partial-*"))


def test_a_journal_that_a_kill_cut_short(tmp_path):
    file = tmp_path / "journal.jsonl"
    journal = Journal(file, resumed_at=0)
    for step in (0, 1, 2):
        journal.write(step, "train", loss=1 / 3 + step, broken=float("nan"))
    journal.close()
    file.write_text(file.read_text()[:-20])
    Journal(file, resumed_at=2).close()
    assert [line["step"] for line in read_journal(file)] == [0, 1]
    assert next(read_journal(file)) == {"step": 0, "kind": "train", "loss": 0.333333, "broken": None}


def test_signals_are_noted_and_a_second_ctrl_c_is_obeyed():
    before = signal.getsignal(signal.SIGTERM)
    with Interrupt() as interrupt:
        assert interrupt.received is None
        signal.raise_signal(signal.SIGTERM)
        assert interrupt.received == signal.SIGTERM
        interrupt.since -= AGAIN
        with pytest.raises(KeyboardInterrupt, match="stopped at once; --resume goes on from the last checkpoint"):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_ctrl_c_that_comes_twice_at_once_is_one():
    with Interrupt() as interrupt:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert interrupt.received == signal.SIGINT
    signal.raise_signal(signal.SIGINT)
    interrupt.since -= AGAIN
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_nohup_started_goes_on_when_the_terminal_is_closed():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupt() as interrupt:
            signal.raise_signal(signal.SIGHUP)
            assert interrupt.received is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_process_whose_launcher_is_gone_stops(monkeypatch):
    with Interrupt() as interrupt:
        monkeypatch.setenv(LAUNCHER, str(os.getppid()))
        assert interrupt.received is None
        monkeypatch.setenv(LAUNCHER, str(os.getpid()))
        assert interrupt.received == signal.SIGTERM
