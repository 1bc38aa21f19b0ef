"""What a run takes: seconds a step and a case, and memory, from a few real steps of each kind of run."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from halfmask.study.job import SUPERVISOR
from halfmask.study.supervise import THREADS, ending

WARM = 2
"""Steps before the clock runs."""
TIMED = 3
CONTEXT = 0.6
"""GiB of a GPU's memory that a process takes before its first tensor."""
SECONDS = 20.0
"""After which no further step is timed."""


@dataclass(frozen=True)
class Cost:
    """What a kind of run takes.

    Attributes:
        start: seconds until the first step.
        step: seconds a step.
        case: seconds to predict a case.
        memory: GiB of the computer's memory.
        gpu: GiB of a GPU's, 0 without one.
        error: why it could not be measured, in words.
    """

    start: float = 0.0
    step: float = 0.0
    case: float = 0.0
    memory: float = 0.0
    gpu: float = 0.0
    error: str = ""


def cost_of(told: Any) -> Cost | None:
    """A cost as a file has it; None for what is none, as of another version."""
    try:
        return Cost(**told)
    except TypeError:
        return None


def measure(asked: Mapping[str, Mapping[str, Any]], store: Path, threads: int, device: str) -> dict[str, Cost]:
    """The costs of some kinds of run on a store, each in a process of its own, one after another.

    Args:
        asked: by a key, a run's attributes, see `training.run.Run`.
        threads: that each may use.
    """
    if not asked:
        return {}
    own = dict.fromkeys(THREADS, str(threads)) | {SUPERVISOR: str(os.getpid())}
    told = json.dumps({"store": str(store), "device": device, "runs": asked})
    command = [sys.executable, "-P", "-m", "halfmask.study.measure"]
    environment = {**os.environ, **own}
    found = subprocess.run(command, input=told, capture_output=True, text=True, env=environment, check=False)
    if found.returncode:
        raise ValueError(f"what runs take could not be measured; {ending(found.returncode)}:\n{found.stderr}")
    costs: dict[str, dict[str, Any]] = json.loads(found.stdout.splitlines()[-1])
    return {key: Cost(**cost) for key, cost in costs.items()}


def _main() -> None:
    """Measure what standard input asks for; PyTorch is loaded once, and each kind of run gets a fork of that."""
    from halfmask.parent import end_with_parent

    end_with_parent(int(os.environ[SUPERVISOR]))
    begun = time.monotonic()
    import halfmask.training.trainer  # noqa: F401

    loading = time.monotonic() - begun
    told = json.load(sys.stdin)
    costs = {}
    for key, asked in told["runs"].items():
        ours, theirs = multiprocessing.get_context("fork").Pipe(duplex=False)
        child = multiprocessing.get_context("fork").Process(
            target=_send, args=(theirs, os.getpid(), asked, Path(told["store"]), told["device"], loading)
        )
        child.start()
        theirs.close()
        try:
            costs[key] = asdict(ours.recv())
        except EOFError:
            child.join()
            assert child.exitcode is not None
            costs[key] = asdict(Cost(error=ending(child.exitcode)))
        child.join()
    print(json.dumps(costs))


def _send(pipe: Any, parent: int, asked: Mapping[str, Any], store: Path, device: str, loading: float) -> None:
    from halfmask.parent import end_with_parent

    end_with_parent(parent)
    try:
        pipe.send(_cost(asked, store, device, loading))
    except Exception as e:  # the run itself will tell all of it
        pipe.send(Cost(error=str(e) if isinstance(e, ValueError | OSError) else f"{type(e).__name__}: {e}"))


def _cost(asked: Mapping[str, Any], store: Path, device: str, loading: float) -> Cost:
    """Some steps of a training, and the prediction of one case."""
    import resource

    import torch

    from halfmask.data.store import Store
    from halfmask.learning.clock import Clock
    from halfmask.training.options import Options
    from halfmask.training.run import run_of
    from halfmask.training.trainer import Trainer

    begun = time.monotonic()
    opened = Store(store)
    run = run_of({"run": asked})
    with tempfile.TemporaryDirectory() as out:
        trainer = Trainer(run, opened, Path(out), Options(device=device, cache=0.0, validations=0))
        batches = trainer.loader.batches(0, WARM + TIMED)
        times = []
        before = time.monotonic()
        trainer.sweep(Clock(0, WARM + TIMED, 0))
        _wait_for(trainer.device)
        swept = time.monotonic() - before
        for step, batch in enumerate(batches):
            before = time.monotonic()
            trainer.take(batch, Clock(step, WARM + TIMED, 0))
            _wait_for(trainer.device)
            times.append(time.monotonic() - before)
            if len(times) > WARM and sum(times) > SECONDS:
                break
        started = time.monotonic() - begun - sum(times[WARM:])
        before = time.monotonic()
        trainer.exam.predict(opened.case((trainer.labeled or trainer.unlabeled)[0]))
        case = time.monotonic() - before
        steps_per_epoch = next(step for step in itertools.count(1) if trainer.loader.epoch(step))
    cuda = trainer.device.type == "cuda"
    return Cost(
        start=round(loading + started, 3),
        step=round(min(times[WARM:]) + swept / steps_per_epoch, 4),
        case=round(case, 3),
        memory=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 3),
        gpu=round(torch.cuda.max_memory_reserved() / 2**30 + CONTEXT, 3) if cuda else 0.0,
    )


def _wait_for(device: Any) -> None:
    """Until a GPU has done what it was told; others have."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    _main()
