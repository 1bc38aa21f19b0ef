"""Several processes for one training: how they are started, and how a process knows that it is one of them.

Imports no torch before it starts any, as the command line reads this file for its help.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from halfmask.training.interrupt import LAUNCHER, Interrupt

GRACE = 5.0
"""Seconds that the other processes have to end by themselves once one has failed."""


class SeveralProcesses(ValueError):
    """What was asked for needs processes that only the command line starts."""

    def __init__(self, count: int):
        super().__init__(
            f"{count} devices need {count} processes, which only the command line starts: halfmask train … "
            f"--devices {count}, or torchrun --nproc-per-node {count} -m halfmask train …; called from Python, "
            "train runs in its own process on one device"
        )
        self.count = count


@dataclass(frozen=True)
class Surroundings:
    """This process among others that were started with it.

    Attributes:
        by: torchrun (or `launch`), or Slurm's srun.
        rank: of this process among all.
        size: of all.
        local: on this computer; the same on each.
    """

    by: Literal["torchrun", "srun"]
    rank: int
    size: int
    local: int


def surroundings() -> Surroundings | None:
    """Who this process was started with, if with any.

    Raises:
        ValueError: the computers run unequal numbers of processes.
    """
    number = lambda name: int(os.environ[name])
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return Surroundings("torchrun", number("RANK"), number("WORLD_SIZE"), number("LOCAL_WORLD_SIZE"))
    if int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1:
        size, nodes = number("SLURM_STEP_NUM_TASKS"), number("SLURM_STEP_NUM_NODES")
        if size % nodes or "," in os.environ.get("SLURM_STEP_TASKS_PER_NODE", ""):  # 3(x2), but 3,1
            raise ValueError(
                f"srun started {size} tasks on {nodes} nodes; every node needs as many: give srun --ntasks-per-node"
            )
        return Surroundings("srun", number("SLURM_PROCID"), size, size // nodes)
    return None


def joint_size(devices: int | None, here: Surroundings | None) -> int:
    """How many processes train together when ``devices`` a computer are asked for.

    Raises:
        ValueError: other processes than these were started.
    """
    if here is None:
        return devices or 1
    if devices not in (None, here.local):
        raise ValueError(
            f"--devices {devices} was given, but {here.by} started {here.local} processes on this computer; "
            "leave out --devices, or give both the same number"
        )
    return here.size


def launch(arguments: Sequence[str], count: int) -> int:
    """Run ``halfmask ARGUMENTS`` in ``count`` processes of this computer, and return the exit code of all.

    They find each other as if torchrun had started them. torchrun itself would end them 30 s after a signal,
    saved or not, and print a report of its own over the one line that says what is wrong.

    Raises:
        KeyboardInterrupt: a second Ctrl-C came; all have been ended at once.
    """
    from torch.distributed import TCPStore

    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    common = {
        "TORCHELASTIC_RUN_ID": "halfmask",
        "TORCHELASTIC_USE_AGENT_STORE": "True",  # the store is here, so none depends on another's end
        "TORCHELASTIC_RESTART_COUNT": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "GROUP_RANK": "0",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(max(1, cores // count))),
        LAUNCHER: str(os.getpid()),
    }
    processes: list[subprocess.Popen] = []

    with Interrupt() as interrupt, _ended(processes):
        for rank in map(str, range(count)):
            own = {"RANK": rank, "LOCAL_RANK": rank}
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-P", "-m", "halfmask", *arguments],  # -P: no modules from the current folder
                    env={**os.environ, **common, **own},
                    process_group=0,  # a Ctrl-C on the terminal reaches them once, from here
                )
            )
        return _wait(processes, interrupt)


@contextlib.contextmanager
def _ended(processes: Sequence[subprocess.Popen]) -> Iterator[None]:
    """In the end none is left."""
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _wait(processes: Sequence[subprocess.Popen], interrupt: Interrupt) -> int:
    """Until all have ended, or one has failed and the others have had their time; the code of who failed first.

    A signal is passed on once. Ctrl-C goes on as SIGTERM, which ends a process without a word while it starts.
    """
    code, until, told = 0, float("inf"), None
    while True:
        if told is None and (told := interrupt.received) is not None:
            for process in processes:
                process.send_signal(signal.SIGTERM if told == signal.SIGINT else told)
        codes = [process.poll() for process in processes]
        failed = next((rank for rank, returned in enumerate(codes) if returned), None)
        if code == 0 and failed is not None:
            code, until = _exit_code(failed, processes[failed].returncode, told), time.monotonic() + GRACE
        if None not in codes or time.monotonic() > until:
            return code
        time.sleep(0.05)


def _exit_code(rank: int, returned: int, told: int | None) -> int:
    """Of a process that failed, perhaps as it was told to; what a signal ended cannot tell itself."""
    if told is not None and returned in (-signal.SIGTERM, -signal.SIGHUP):
        print("stopped", file=sys.stderr)
        return 128 + told
    if told is not None and returned in (128 + signal.SIGTERM, 128 + signal.SIGHUP):
        return 128 + told
    if returned >= 0:
        return returned
    name = signal.Signals(-returned).name
    hint = "; was there not enough memory?" if -returned == signal.SIGKILL else ""
    print(f"error: process {rank} was ended by {name}{hint}", file=sys.stderr)
    return 128 - returned
