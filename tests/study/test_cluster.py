"""The same jobs on a real Dask cluster of this computer, one of whose workers is killed in the middle."""

import os
import signal
import time

import psutil
import pytest
import torch

from halfmask.study.crew import cluster
from halfmask.study.job import Job, Need
from halfmask.study.runner import carry_out
from halfmask.training import checkpoint

distributed = pytest.importorskip("distributed", reason="Dask is not installed (halfmask[cluster])")
STEPS = 800


@pytest.fixture(scope="module")
def dask():
    """Two workers, a process each, that a nanny starts anew when they die."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as made:
        yield made


def training(store, home, name):
    """A training in ``home`` with a method that has a state to lose; it saves often."""
    words = ["train", "mean_teacher", str(store), "--out", name, "--steps", str(STEPS), "--resume"]
    words += ["--validations", "0", "--save-seconds", "0.2"]
    return Job(name, home, home / name, (tuple(words),), (), Need())


def chains():
    """The jobs' processes, by the folder's name, with the worker that each belongs to."""
    found = {}
    for process in psutil.process_iter(["cmdline", "ppid"]):
        words = process.info["cmdline"] or []
        if "halfmask.chain" in words:
            found[os.path.basename(words[-1])] = process.info["ppid"]
    return found


@pytest.mark.filterwarnings("default")  # Dask's own, about a worker that is gone
def test_a_lost_worker_costs_no_run_and_changes_no_weight(dask, prepared, tmp_path):
    store = prepared(2).path.resolve()
    jobs = [training(store, tmp_path, name) for name in ("lost", "other")]
    killed = []

    def kill_one(outcomes, running):
        """Once both train and the first has been saved, its worker is gone without a word."""
        if not killed and (tmp_path / "lost" / "last.pt").exists() and "lost" in chains():
            killed.append(chains()["lost"])
            os.kill(killed[0], signal.SIGKILL)

    with cluster(dask.scheduler_address) as crew:
        together, threads = crew.split([Need()] * 5)
        assert together == 2 and threads >= 1
        assert crew.call(os.getpid) != os.getpid()
        outcomes = carry_out(jobs, crew, tmp_path, environment={"HALFMASK_TRAIN_THREADS": "0"}, watch=kill_one)
    assert killed and {name: o.state for name, o in outcomes.items()} == {"lost": "done", "other": "done"}
    assert (tmp_path / "lost" / "log.txt").read_text().count("$ halfmask train") == 2  # it was begun once more
    states = [checkpoint.load(tmp_path / name / "last.pt")["state"] for name in ("lost", "other")]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[1])
    until = time.monotonic() + 10
    while "lost" in chains() and time.monotonic() < until:
        time.sleep(0.1)
    assert "lost" not in chains()  # no process is left behind


def test_without_a_scheduler_or_workers_it_says_so():
    with pytest.raises(ValueError, match="slurm:N takes a number"), cluster("slurm:many"):
        pass
