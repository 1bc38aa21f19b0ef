"""The same work over many cases: here, in a process pool, or on a cluster."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, as_completed
from typing import TypeVar

from halfmask.parent import end_with_parent
from halfmask.progress import Progress

T = TypeVar("T")
R = TypeVar("R")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLOSC_NTHREADS")


@contextlib.contextmanager
def workers(count: int) -> Iterator[Executor | None]:
    """A process pool of ``count`` workers with one thread each; None (work here) for 0 or 1."""
    if count <= 1:
        yield None
        return
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))  # read by the libraries as the workers load them
    pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _begin, (os.getpid(),))
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def over(
    work: Callable[[T], R], items: Iterable[T], *, what: str, executor: Executor | None = None
) -> Iterator[tuple[T, R]]:
    """Yield each item with what ``work`` made of it, as they finish, and show how far it is.

    Args:
        work: a function that pickles. An error in it ends the whole.
        executor: a process pool, `dask.distributed.Client.get_executor()`, or None for this process.
    """
    items = list(items)
    with Progress(what, len(items)) as progress:
        if executor is None:
            for item in items:
                yield item, work(item)
                progress.advance()
            return
        futures = {executor.submit(work, item): item for item in items}
        try:
            for future in as_completed(futures):
                yield futures[future], _result(future)
                progress.advance()
        finally:
            for future in futures:
                future.cancel()


def _result(future: Future[R]) -> R:
    try:
        return future.result()
    except BrokenExecutor as e:
        raise ValueError("a worker process died, perhaps for lack of memory; give fewer --workers") from e


def _begin(parent: int) -> None:
    """A worker whose parent was killed would wait forever for more work."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    end_with_parent(parent)
