"""Who carries out jobs: threads of this process, or the workers of a Dask cluster; both are standard executors."""

from __future__ import annotations

import contextlib
import os
import platform
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from halfmask.study.job import Job, Need
from halfmask.study.room import Room
from halfmask.study.supervise import Outcome, supervise


class Crew(ABC):
    """Takes jobs as long as it has room for them."""

    @abstractmethod
    def split(self, needs: Sequence[Need]) -> tuple[int, int]:
        """How many jobs of such needs are done at once, and the CPU threads that each gets."""

    @abstractmethod
    def start(self, job: Job, environment: Mapping[str, str], stop: Path) -> Future[Outcome] | None:
        """Begin a job; None if it has to wait until another has ended."""

    @abstractmethod
    def ended(self, job: Job) -> None:
        """The job needs its room no more."""

    @abstractmethod
    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What a function returns where jobs are done."""


class Local(Crew):
    """This computer. A supervisor only waits for its job's process, so a thread is enough for it."""

    def __init__(self, room: Room, executor: Executor):
        self.room, self.executor = room, executor

    def split(self, needs: Sequence[Need]) -> tuple[int, int]:
        together = self.room.split(needs)
        return together, max(1, self.room.cores // together)

    def start(self, job: Job, environment: Mapping[str, str], stop: Path) -> Future[Outcome] | None:
        where = self.room.take(job.name, job.need)
        return None if where is None else self.executor.submit(supervise, job, {**environment, **where}, stop)

    def ended(self, job: Job) -> None:
        self.room.free(job.name)

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)


class Cluster(Crew):
    """The workers of a Dask cluster, which sees the same files. Each does as many jobs at once as it has threads.

    Where all workers were started with resources MEMORY (bytes) or GPU, each job asks for what it needs of them.
    """

    def __init__(self, client: Any):
        self.client = client

    def split(self, needs: Sequence[Need]) -> tuple[int, int]:
        workers = self.client.scheduler_info(n_workers=-1)["workers"]
        cores = dict(self.client.run(_computer).values())
        jobs = Counter[str]()
        for address, computer in self.client.run(platform.node).items():
            jobs[computer] += workers[address]["nthreads"]
        share = min((cores[computer] // count for computer, count in jobs.items()), default=1)
        return max(1, jobs.total()), max(1, share)

    def start(self, job: Job, environment: Mapping[str, str], stop: Path) -> Future[Outcome] | None:
        asked = {"MEMORY": job.need.memory * 2**30, "GPU": 1 if job.need.gpu else 0}
        declared = [w["resources"] for w in self.client.scheduler_info(n_workers=-1)["workers"].values()]
        resources = {name: n for name, n in asked.items() if n and declared and all(name in d for d in declared)}
        executor = self.client.get_executor(resources=resources, pure=False)
        return executor.submit(supervise, job, dict(environment), stop)

    def ended(self, job: Job) -> None:
        """Dask keeps account itself."""

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return self.client.get_executor(pure=False).submit(function, *arguments).result()
        except CancelledError as e:
            raise ValueError("the cluster's scheduler was lost; start one, and give the same command to go on") from e


def _computer() -> tuple[str, int]:
    """Its name, and the cores that a process here may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return platform.node(), cores


@contextlib.contextmanager
def local(room: Room) -> Iterator[Crew]:
    """This computer."""
    with ThreadPoolExecutor(max(1, room.parallel or room.cores)) as executor:
        yield Local(room, executor)


@contextlib.contextmanager
def cluster(where: str) -> Iterator[Crew]:
    """A Dask cluster: that of the scheduler at an address (tcp://…), or ``slurm:N``, N jobs of Slurm.

    What such a job asks Slurm for stands in dask-jobqueue's own file, jobqueue.yaml.

    Raises:
        ValueError: Dask is not installed, or no scheduler answers.
    """
    try:
        from distributed import Client
    except ImportError as e:
        raise ValueError(f"--cluster needs Dask: pip install 'halfmask[cluster]' ({e})") from e
    with contextlib.ExitStack() as stack:
        address: Any = where
        if where.startswith("slurm:"):
            address = stack.enter_context(_slurm(where.removeprefix("slurm:")))
        try:
            client = stack.enter_context(Client(address))
        except (OSError, ValueError) as e:
            raise ValueError(f"no Dask scheduler answers at {where}: {e}") from e
        if where.startswith("slurm:"):
            client.wait_for_workers(1)
        if not client.scheduler_info(n_workers=-1)["workers"]:
            raise ValueError(f"the scheduler at {where} has no workers; start some with dask worker {where}")
        yield Cluster(client)


def _slurm(count: str) -> Any:
    if not count.isdigit() or not int(count):
        raise ValueError(f"--cluster slurm:N takes a number of jobs above 0, got {count!r}")
    try:
        from dask_jobqueue import SLURMCluster
    except ImportError as e:
        raise ValueError(f"--cluster slurm:{count} needs dask-jobqueue: pip install 'halfmask[cluster]' ({e})") from e
    made = SLURMCluster()
    made.scale(jobs=int(count))
    return made
