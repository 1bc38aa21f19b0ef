"""The training loop."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from halfmask.data.atomic import write_text
from halfmask.data.batch import Batch
from halfmask.data.store import Store
from halfmask.inference.predict import Predictor
from halfmask.learning.clock import Clock
from halfmask.learning.method import Segmenter
from halfmask.learning.minimize import Minimizer, NotFinite
from halfmask.learning.schedules import RATES
from halfmask.networks.segmenter import SegmentationNetwork
from halfmask.progress import Progress, say
from halfmask.training import checkpoint
from halfmask.training.allocator import keep_memory
from halfmask.training.device import compile_networks, layout, make_fabric, make_predictor
from halfmask.training.feed import augmentation, labeled_cases, make_loader, unlabeled_cases
from halfmask.training.interrupt import Interrupt, Stopped
from halfmask.training.journal import Journal
from halfmask.training.run import BEST, LAST, Run, contents, load_run, make_method, read_contents
from halfmask.training.transfer import networks_of, transfer
from halfmask.training.validation import MOST, validate

LOG_EVERY = 10


@dataclasses.dataclass(frozen=True)
class Options:
    """What may differ between two computers without changing what a run is.

    Attributes:
        device: "auto", "cpu" or "cuda".
        compile: the networks; None does so on CUDA (on a CPU it costs minutes and gains nothing).
        threads: that read batches ahead.
        validations: how often in a run, evenly; 0 never.
        save_seconds: between checkpoints, besides those at validations and at the end.
    """

    device: str = "auto"
    compile: bool | None = None
    threads: int = 2
    validations: int = 10
    save_seconds: float = 120.0


class Trainer:
    """One training in the making: its parts, its position, and how to save and restore both."""

    def __init__(self, run: Run, store: Store, out: Path, options: Options):
        keep_memory()
        self.run, self.store, self.plan, self.out, self.options = run, store, store.plan, out, options
        self.fabric = make_fabric(options.device, run.precision)
        self.device = self.fabric.device
        self.layout = layout(self.device, self.plan.dims)
        self.labeled, self.unlabeled = labeled_cases(run, store), unlabeled_cases(run, store)
        self.validation = [store.case(name) for name in store.splits.folds[run.fold][:MOST]]
        self.augment = augmentation(self.plan)
        self.loader = make_loader(run, store, self.device, threads=options.threads)
        method = make_method(self.plan, run)
        self.method = method.to(self.device).to(memory_format=self.layout)  # type: ignore[call-overload]
        if options.compile if options.compile is not None else self.device.type == "cuda":
            compile_networks(self.method)
        self.method.begin(self.unlabeled)
        self.minimize = Minimizer(
            self.method, self.method.optimizers(run.recipe.make_optimizer()), clip=run.recipe.clip
        )
        self.step = 0
        self.best = -1.0
        self.seconds = 0.0

    # ------------------------------------------------------------------ the loop

    def train(self) -> dict[str, Any]:
        """Train from where it is to the end, and return what result.json says.

        Raises:
            Stopped: a signal came; the position is saved.
            ValueError: a loss was not finite, or memory ran out.
        """
        steps, recipe = self._steps, self.run.recipe
        journal = Journal(self.out / "journal.jsonl", resumed_at=self.step)
        rate = RATES[recipe.schedule or "poly"]
        saved = time.monotonic()
        started = saved - self.seconds
        try:
            with Interrupt() as interrupt, Progress(self.run.method, steps, done=self.step) as progress:
                for batch in self.loader.batches(self.step, steps):
                    clock = Clock(self.step, steps, self.loader.epoch(self.step))
                    self.minimize.set_rate(rate(clock.progress))
                    self.take(batch, clock)
                    self.step += 1
                    self.seconds = time.monotonic() - started
                    progress.advance(self._log(journal))
                    if self._due(self.step):
                        self._validate(journal)
                    late = time.monotonic() - saved > self.options.save_seconds
                    if (late or self._due(self.step)) and self.step < steps:
                        self.save()
                        saved = time.monotonic()
                    if interrupt.received is not None and self.step < steps:
                        self.save()
                        reached = f"stopped after {self.step} of {steps} steps, all saved"
                        raise Stopped(f"{reached}; give the same command with --resume to go on", interrupt.received)
            self.save()
            return self._finish()
        finally:
            journal.close()

    def take(self, batch: Batch, clock: Clock) -> None:
        """One step; all randomness is seeded by (seed, step), so nothing of it needs saving."""
        torch.manual_seed(_mix(self.run.seed, clock.step))
        self.minimize.step = clock.step
        try:
            batch = Batch(self.augment.labeled(batch.labeled), self._weak(batch))
            put = lambda images: images.with_(image=images.image.contiguous(memory_format=self.layout))
            batch = Batch(put(batch.labeled), put(batch.unlabeled))
            self.method.train()
            with self.fabric.autocast():
                self.method.step(batch, self.minimize, clock)
        except (torch.OutOfMemoryError, MemoryError) as e:
            size, patch = self.run.recipe, self.plan.patch
            raise ValueError(
                f"memory ran out at step {clock.step} with batch {size.labeled}+{size.unlabeled} of {patch} and "
                f"network {self.run.network!r}; lower --batch, the plan's patch or --set network.width"
            ) from e
        if self.device.type == "cpu" or clock.step % LOG_EVERY == 0:
            self._check()

    def _check(self) -> None:
        """Stop if a loss or gradient was not finite since the last check; on a GPU that may be some steps ago."""
        try:
            self.minimize.check()
        except NotFinite as e:
            cases = ", ".join(self.loader.cases(e.step))
            raise ValueError(f"step {e.step}: {e}; the batch held {cases}. Look at these cases, or lower --rate") from e

    def _weak(self, batch: Batch) -> Any:
        return self.augment.weak(batch.unlabeled) if len(batch.unlabeled) else batch.unlabeled

    # ------------------------------------------------------------------ what is noted

    def _log(self, journal: Journal) -> str:
        """Every few steps the losses, into the journal and as text for the progress bar."""
        if self.step % LOG_EVERY and self.step != self._steps:
            return ""
        figures = {name: float(value) for name, value in self.minimize.figures.items()}
        journal.write(self.step - 1, "train", seconds=self.seconds, **figures)
        return " ".join(f"{name} {value:.3g}" for name, value in figures.items())

    def _validate(self, journal: Journal) -> None:
        self._check()
        dice = validate(self.predictor(), self.validation, self.plan)
        journal.write(self.step - 1, "validation", **{f"dice {name}": value for name, value in dice.items()})
        say(f"{self.run.method}: step {self.step}: validation Dice {dice['mean']:.4f}")
        if dice["mean"] > self.best:
            self.best = dice["mean"]
            self._write(BEST, optimizers=False)

    def _due(self, step: int) -> bool:
        """Whether to validate after so many steps."""
        if not self.options.validations or not self.validation:
            return False
        return step % max(1, self._steps // self.options.validations) == 0 or step == self._steps

    def _finish(self) -> dict[str, Any]:
        result = {
            "steps": self.step,
            "seconds": round(self.seconds, 1),
            "device": torch.cuda.get_device_name() if self.device.type == "cuda" else "cpu",
            "threads": torch.get_num_threads(),
            "best_validation_dice": self.best if self.best >= 0 else None,
            "labeled": list(self.labeled),
            "unlabeled": len(self.unlabeled),
        }
        if self.device.type == "cuda":
            result["peak_memory_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
        write_text(self.out / "result.json", json.dumps(result, indent=1))
        return result

    # ------------------------------------------------------------------ position

    def save(self) -> None:
        """Write last.pt, after making sure that no loss was broken on the way."""
        self._check()
        self._write(LAST, optimizers=True)

    def _contents(self) -> dict[str, Any]:
        """What the run is: all that has to be the same for it to go on."""
        cases = {"labeled": self.labeled, "unlabeled": self.unlabeled, "validation": [c.name for c in self.validation]}
        return contents(self.plan, self.run, self.store.path) | {"cases": cases}

    def _write(self, name: str, *, optimizers: bool) -> None:
        content = self._contents() | {
            "step": self.step,
            "best": self.best,
            "seconds": self.seconds,
            "threads": torch.get_num_threads(),
            "state": self.method.state_dict(),
        }
        if optimizers:
            content["optimizers"] = {k: o.state_dict() for k, o in self.minimize.optimizers.items()}
        checkpoint.save(self.out / name, content)

    def resume(self) -> None:
        """Go to the position of last.pt, if there is one.

        Raises:
            ValueError: it is of another run, with what differs.
        """
        file = self.out / LAST
        if not file.exists():
            say(f"{self.out} has no checkpoint yet; starting at step 0")
            return
        content = read_contents(file)
        own = self._contents()
        differs = [
            f"{part}.{key}: {then!r} then, {now!r} now"
            for part in ("run", "plan", "cases")
            for key in {**content[part], **own[part]}
            if json.dumps(then := content[part].get(key)) != json.dumps(now := own[part].get(key))
        ]
        if differs:
            raise ValueError(f"{file} is of another run; " + "; ".join(differs))
        if content["threads"] != torch.get_num_threads():
            say(f"going on with {content['threads']} threads, as before, so that the weights come out the same")
            torch.set_num_threads(content["threads"])
        self.method.load_state_dict(content["state"])
        for name, optimizer in self.minimize.optimizers.items():
            optimizer.load_state_dict(content["optimizers"][name])
        self.step, self.best, self.seconds = content["step"], content["best"], content["seconds"]

    def initialize(self, source: Path) -> None:
        """Take over the weights of another run's predictor, and say what went over.

        The first network that learns takes all, and so do averages. Further ones take the encoder alone:
        two networks that are to label images for each other would else start as one.

        Raises:
            ValueError: it is of another network, whose weights have the same names by chance alone.
        """
        _, told, other, content = load_run(source)
        if told.network != self.run.network:
            raise ValueError(
                f"{source} holds the weights of a {told.network}, this run trains a {self.run.network}; "
                f"give --network {told.network}, or another run to --init"
            )
        name = next(n for n, network in other.named_children() if network is other.predictor)
        weights = networks_of(content["state"])[name]
        encoder = {k: v for k, v in weights.items() if k.startswith("encoder.")}
        first = True
        for own, network in self.method.named_children():
            if isinstance(network, SegmentationNetwork):
                learns = any(p.requires_grad for p in network.parameters())
                say(f"{own}: {transfer(weights if first or not learns else encoder, network)}")
                first = first and not learns

    def predictor(self) -> Predictor:
        assert isinstance(self.method, Segmenter)
        return make_predictor(self.method, self.plan, self.fabric)

    @property
    def _steps(self) -> int:
        assert self.run.recipe.steps is not None
        return self.run.recipe.steps


def start(run: Run, store: Store, out: Path, options: Options, *, resume: bool) -> dict[str, Any]:
    """Train a run into the folder ``out``; see `Trainer.train`.

    Raises:
        ValueError: ``out`` holds a run already and ``resume`` is not set.
    """
    if (out / LAST).exists() and not resume:
        raise ValueError(f"{out} holds a run already; go on with --resume, or choose another folder")
    trainer = Trainer(run, store, out, options)
    out.mkdir(parents=True, exist_ok=True)
    if resume:
        trainer.resume()
    if run.init is not None and trainer.step == 0:
        trainer.initialize(Path(run.init))
    if options.validations and not trainer.validation:
        say(f"fold {run.fold} has no cases to validate on, so there will be no {BEST}; predict with {LAST}")
    about = dataclasses.asdict(run) | {"labeled_cases": list(trainer.labeled)}
    write_text(out / "run.yaml", yaml.safe_dump(about, sort_keys=False, default_flow_style=None, width=110))
    return trainer.train()


def _mix(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
