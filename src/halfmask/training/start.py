"""How a run begins: its processes join, and it starts at step 0, from other weights, or where it was stopped."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import yaml

from halfmask.data.atomic import write_text
from halfmask.data.store import Store
from halfmask.progress import say
from halfmask.training.launch import surroundings
from halfmask.training.run import BEST, LAST, Run
from halfmask.training.together import together
from halfmask.training.trainer import Options, Trainer


def start(run: Run, store: Store, out: Path, options: Options, *, resume: bool) -> dict[str, Any]:
    """Train a run into the folder ``out``; see `Trainer.train`.

    Raises:
        ValueError: ``out`` holds a run already and ``resume`` is not set; or the processes see different files.
    """
    here = surroundings() if run.processes > 1 else None
    with together(options.device, run.precision, here) as (fabric, processes):
        if (out / LAST).exists() and not resume:
            raise ValueError(f"{out} holds a run already; go on with --resume, or choose another folder")
        trainer = Trainer(run, store, out, options, fabric, processes)
        out.mkdir(parents=True, exist_ok=True)
        if resume:
            trainer.resume()
        if run.init is not None and trainer.step == 0 and processes.leads:
            trainer.initialize(run.init)  # the others are given what came of it
        steps = set(processes.gather(trainer.step))
        if len(steps) > 1:
            raise ValueError(f"the processes start from steps {steps}; does every computer see the same {out}?")
        processes.spread([*trainer.method.parameters(), *trainer.method.buffers()])
        if options.validations and not trainer.validation:
            say(f"fold {run.fold} has no cases to validate on, so there will be no {BEST}; predict with {LAST}")
        if processes.leads:
            about = dataclasses.asdict(run) | {"labeled_cases": list(trainer.labeled)}
            write_text(out / "run.yaml", yaml.safe_dump(about, sort_keys=False, default_flow_style=None, width=110))
        return trainer.train()
