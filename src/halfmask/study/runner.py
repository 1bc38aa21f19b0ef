"""Carries out jobs, as many at once as there is room for, until all have ended or the user stops them."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from pathlib import Path

from halfmask.study.crew import Crew
from halfmask.study.job import Job
from halfmask.study.supervise import STOP, Outcome
from halfmask.training.interrupt import Interrupt, Stopped

TICK = 1.0
"""Seconds between two looks at what has come of the jobs."""

Watch = Callable[[Mapping[str, Outcome], Sequence[str]], None]
"""Is told now and then: outcomes so far by the job's name, and the names of those that run."""


def carry_out(
    jobs: Sequence[Job],
    crew: Crew,
    out: Path,
    *,
    environment: Mapping[str, str] | None = None,
    watch: Watch = lambda outcomes, running: None,
) -> dict[str, Outcome]:
    """Carry out jobs in their order, each after those it needs; what is done already is left alone.

    One that fails takes down those that need it, and no others.

    Args:
        out: the study's folder, where the file that stops all may come to lie; see `alone`.
        environment: variables for every job's process.

    Returns:
        each job's outcome, by its name.

    Raises:
        Stopped: a signal came, or the file; every job was told to save and end.
    """
    stop = out / STOP
    outcomes = {job.name: Outcome("done", seconds=job.seconds()) for job in jobs if job.is_done()}
    waiting = [job for job in jobs if job.name not in outcomes]
    running: dict[Future[Outcome], Job] = {}
    known = {job.name for job in jobs}
    assert all(name in known for job in jobs for name in job.needs)
    with Interrupt() as interrupt, _leaving_nobody(stop):
        while waiting or running:
            if interrupt.received is not None:
                stop.touch()
            if stop.exists():
                waiting = []
            waiting = _without_doomed(waiting, outcomes)
            waiting = _begin(waiting, running, outcomes, crew, environment or {}, stop)
            watch(outcomes, [job.name for job in running.values()])
            for future in wait(running, timeout=TICK, return_when=FIRST_COMPLETED).done:
                job = running.pop(future)
                crew.ended(job)
                outcomes[job.name] = _outcome(future)
        watch(outcomes, [])
        left = len(jobs) - sum(outcome.state == "done" for outcome in outcomes.values())
        if left and stop.exists():
            told = f"stopped with {left} of {len(jobs)} left, all saved; give the same command to go on"
            raise Stopped(told, interrupt.received or signal.SIGINT)
    return outcomes


@contextlib.contextmanager
def _leaving_nobody(stop: Path) -> Iterator[None]:
    """On an error, as of a full disk, or a second Ctrl-C, jobs are told to end, as nobody would look after them."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            stop.touch()
        raise


def _begin(
    waiting: Sequence[Job],
    running: dict[Future[Outcome], Job],
    outcomes: Mapping[str, Outcome],
    crew: Crew,
    environment: Mapping[str, str],
    stop: Path,
) -> list[Job]:
    """Start what can be; return what still has to wait. A large job is not overtaken by smaller ones for ever."""
    left = list(waiting)
    for job in waiting:
        if any(name not in outcomes for name in job.needs):
            continue
        future = crew.start(job, environment, stop)
        if future is None:
            break
        running[future] = job
        left.remove(job)
    return left


def _without_doomed(waiting: Sequence[Job], outcomes: dict[str, Outcome]) -> list[Job]:
    """Jobs whose needs have not failed; the others' outcomes are noted."""
    kept = []
    for job in waiting:
        lost = [name for name in job.needs if name in outcomes and outcomes[name].state != "done"]
        if lost:
            outcomes[job.name] = Outcome(outcomes[lost[0]].state, f"{lost[0]!r}, which it needs, was not done")
        else:
            kept.append(job)
    return kept


def _outcome(future: Future[Outcome]) -> Outcome:
    """How the job ended, or what befell its supervisor: Dask gives up on one that has cost several workers."""
    try:
        return future.result()
    except CancelledError:
        return Outcome("failed", "the cluster's scheduler was lost, so nothing is known of it")
    except Exception as e:
        return Outcome("failed", f"its supervisor was lost: {type(e).__name__}: {e}")
