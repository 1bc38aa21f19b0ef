"""How a run begins: its processes join, and it starts at step 0, from other weights, or where it was stopped."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import yaml

from halfmask.data.atomic import write_text
from halfmask.data.store import Store
from halfmask.learning.method import Classifier, Segmenter
from halfmask.progress import say
from halfmask.training.feed import absent_classes
from halfmask.training.launch import surroundings
from halfmask.training.options import Options
from halfmask.training.run import BEST, LAST, Run
from halfmask.training.seen import refuse_tainted
from halfmask.training.together import together
from halfmask.training.trainer import Trainer


def start(run: Run, store: Store, out: Path, options: Options, *, resume: bool) -> dict[str, Any]:
    """Train a run into the folder ``out``; see `Trainer.train`.

    Raises:
        ValueError: ``out`` cannot be written to, or holds a run already and ``resume`` is not set; or the processes
            see different files; or the weights to start from have seen what the run is measured on.
    """
    here = surroundings() if run.processes > 1 else None
    with together(options.device, run.precision, here) as (fabric, processes):
        if processes.leads:
            check_out(out)
        check_unused(out, resume=resume)
        trainer = Trainer(run, store, out, options, fabric, processes)
        if resume:
            trainer.resume()
        if run.init is not None and trainer.step == 0 and processes.leads:
            refuse_tainted(run.init, store, fold=run.fold)
            trainer.initialize(run.init)  # the others are given what came of it
        steps = set(processes.gather(trainer.step))
        if len(steps) > 1:
            raise ValueError(f"the processes start from steps {steps}; does every computer see the same {out}?")
        processes.spread([*trainer.method.parameters(), *trainer.method.buffers()])
        if options.validations and not trainer.exam.cases and isinstance(trainer.method, Segmenter | Classifier):
            say(f"fold {run.fold} has no cases to validate on, so there will be no {BEST}; predict with {LAST}")
        if store.plan.classifies and trainer.labeled and (absent := absent_classes(run, store)):
            say(f"warning: none of the {len(trainer.labeled)} labeled images is {' or '.join(absent)}, so that is not "
                "learned; give more --labels, or another --draw")  # fmt: skip
        if processes.leads:
            about = dataclasses.asdict(run) | {"store": str(store.path.resolve())}
            about["labeled_cases"] = list(trainer.labeled)
            if store.plan.classifies:
                about["task"] = store.plan.task
            write_text(out / "run.yaml", yaml.safe_dump(about, sort_keys=False, default_flow_style=None, width=110))
        return trainer.train()


def check_unused(out: Path, *, resume: bool) -> None:
    """Raise ValueError if the folder ``out`` holds a run that is not to go on."""
    if (out / LAST).exists() and not resume:
        raise ValueError(f"{out} holds a run already; go on with --resume, or choose another folder")


def check_out(out: Path) -> None:
    """Raise ValueError if no folder ``out`` can be made or written to, before work is spent on what it is to hold."""
    nearest = next(place for place in (out, *out.absolute().parents) if os.path.lexists(place))
    if not nearest.is_dir():
        raise ValueError(f"no run can be kept in {out}, as {nearest} is not a folder; give another --out")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise ValueError(
            f"no run can be kept in {out}, as you may not write to {nearest}; give another --out, or ask who owns it"
        )
