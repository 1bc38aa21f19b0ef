"""The training loop."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import time
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from lightning_fabric import Fabric

from halfmask.data.atomic import write_text
from halfmask.data.batch import Batch
from halfmask.data.store import Store
from halfmask.learning.clock import Clock
from halfmask.learning.method import Classifier, Converged
from halfmask.learning.minimize import Minimizer, NotFinite
from halfmask.learning.processes import ALONE, Processes, norm_statistics
from halfmask.learning.schedules import RATES
from halfmask.progress import Progress, say
from halfmask.training import checkpoint
from halfmask.training.allocator import keep_memory
from halfmask.training.cases import check_domains, labeled_cases, sides, unlabeled_cases
from halfmask.training.device import check_precision, compile_networks, layout, make_fabric
from halfmask.training.exam import make_exam
from halfmask.training.feed import augmentation, class_counts, make_loader, views
from halfmask.training.interrupt import Interrupt, Stopped
from halfmask.training.journal import Journal
from halfmask.training.made_with import computed_on, made_with
from halfmask.training.options import Options
from halfmask.training.pretrained import initialize
from halfmask.training.run import BEST, LAST, Run, contents, differences, make_method, read_contents
from halfmask.training.seeds import mixed
from halfmask.training.stability import Stability
from halfmask.training.sweep import Sweep

LOG_EVERY = 10


class Trainer:
    """One training in the making: its parts, its position, and how to save and restore both.

    Args:
        fabric: the device; by default this process's own.
        processes: that train together. All call the same here, in the same order.
    """

    def __init__(
        self,
        run: Run,
        store: Store,
        out: Path,
        options: Options,
        fabric: Fabric | None = None,
        processes: Processes = ALONE,
    ):
        keep_memory()
        check_domains(run, store.splits)
        self.run, self.store, self.plan, self.out, self.options = run, store, store.plan, out, options
        self.fabric, self.processes = fabric or make_fabric(options.device, run.precision), processes
        self.device = self.fabric.device
        self.layout = layout(self.device, self.plan.dims)
        self.labeled, self.unlabeled = labeled_cases(run, store), unlabeled_cases(run, store)
        self.augment = augmentation(self.plan)
        self.loader = make_loader(
            run, store, self.device, threads=options.threads, cache=options.cache, processes=processes
        )
        method = make_method(self.plan, run)
        check_precision(method, self.device, run.precision)
        if method.alone and processes.size > 1:
            raise ValueError(f"{run.method} is trained by one process, not by {processes.size}; leave out --devices")
        self.method = method.to(self.device).to(memory_format=self.layout)  # type: ignore[call-overload]
        if options.compile if options.compile is not None else self.device.type == "cuda":
            compile_networks(self.method)
        learned = () if self.loader.unlabeled is None else self.loader.unlabeled.cases
        self.method.begin({case.name: case.shape for case in learned})
        if isinstance(self.method, Classifier):
            self.method.count(class_counts(run, store))
        self.sweep = Sweep(self.method, run, store, self.loader, processes, self.layout)
        optimizers = self.method.optimizers(run.recipe.make_optimizer())
        self.minimize = Minimizer(self.method, optimizers, clip=run.recipe.clip, processes=processes)
        self.statistics = norm_statistics(self.method)
        self.exam = make_exam(self.method, run, store, self.fabric, processes)
        self.stability = Stability(self._steps) if method.adversarial else None
        self.step, self.seconds = 0, 0.0
        self.best: float | None = None
        self.worse = 0  # grades since the best
        self.done = False

    # ------------------------------------------------------------------ the loop

    def train(self) -> dict[str, Any]:
        """Train from where it is to the end, and return what result.json says.

        Raises:
            Stopped: a signal came; the position is saved.
            ValueError: a loss was not finite, an adversarial training has come apart, or memory ran out.
        """
        steps, recipe = self._steps, self.run.recipe
        rate = RATES[recipe.schedule or "poly"]
        saved = time.monotonic()
        started = saved - self.seconds
        journal = Journal(self.out / "journal.jsonl" if self.processes.leads else None, resumed_at=self.step)
        with contextlib.closing(journal), Interrupt() as interrupt:
            with Progress(self.run.method, steps, done=self.step) as progress:
                if self.step == 0:
                    self._look(journal)
                for batch in self.loader.batches(self.step, self.step if self.done else steps):
                    clock = Clock(self.step, steps, self.loader.epoch(self.step))
                    self.minimize.set_rate(self.method.rate(clock, rate(clock.progress)))
                    self.sweep(clock)
                    converged = self.take(batch, clock)
                    self.step += 1
                    self.done = self.step == steps
                    if converged:
                        self._end(converged)
                    self.seconds = time.monotonic() - started
                    progress.advance(self._log(journal))
                    self._look(journal)
                    if self._due(self.step):
                        self._validate(journal)
                    late = time.monotonic() - saved > self.options.save_seconds
                    stop, save = self.processes.most([interrupt.received or 0, late or self._due(self.step)])
                    if self.done:
                        break
                    if save or stop:
                        self.save()
                        saved = time.monotonic()
                    if stop:
                        reached = f"stopped after {self.step} of {steps} steps, all saved"
                        raise Stopped(f"{reached}; give the same command with --resume to go on", stop)
            self.save()
            return self._finish()

    def take(self, batch: Batch, clock: Clock) -> str:
        """One step, and why the method has converged if it has.

        All randomness is seeded by (seed, step, rank), so nothing of it needs saving.

        Seeds end in zeros without limit, so one process alone draws as rank 0 does.
        """
        torch.manual_seed(mixed(self.run.seed, clock.step, self.processes.rank))
        self.minimize.step, converged = clock.step, ""
        self.minimize.measure = self.method.adversarial and self._logs(clock.step + 1)
        try:
            batch = views(self.method, self.plan, self.augment, batch)
            put = lambda images: images.with_(image=images.image.contiguous(memory_format=self.layout))
            batch = Batch(put(batch.labeled), put(batch.unlabeled))
            self.method.train()
            with self.fabric.autocast():
                # Until its fix in 2025 torch cached weights cast without gradient for those who want one.
                torch.set_autocast_cache_enabled(False)
                try:
                    self.method.step(batch, self.minimize, clock)
                except Converged as e:
                    converged = str(e)
            self.processes.average(self.statistics)
        except (torch.OutOfMemoryError, MemoryError) as e:
            size, patch = self.run.recipe, self.plan.patch
            raise ValueError(
                f"memory ran out at step {clock.step} with batch {size.labeled}+{size.unlabeled} of {patch} and "
                f"network {self.run.network!r}; lower --batch, the plan's patch or --set network.width"
            ) from e
        if self.device.type == "cpu" or clock.step % LOG_EVERY == 0:
            self._check()
        return converged

    def _check(self) -> None:
        """Stop if a loss or gradient was not finite since the last check; on a GPU that may be some steps ago."""
        try:
            self.minimize.check()
        except NotFinite as e:
            guilty = self.processes.gather(self.loader.cases(e.step) if e.here else [])
            cases = ", ".join(itertools.chain(*guilty))
            raise ValueError(f"step {e.step}: {e}; the batch held {cases}. Look at these cases, or lower --rate") from e

    # ------------------------------------------------------------------ what is noted

    def _log(self, journal: Journal) -> str:
        """Every few steps the losses, into the journal and as text for the progress bar."""
        if not self._logs(self.step):
            return ""
        shares = self.processes.gather({name: float(value) for name, value in self.minimize.figures.items()})
        figures = {name: fmean(s[name] for s in shares if name in s) for name in itertools.chain(*shares)}
        journal.write(self.step - 1, "train", seconds=self.seconds, **figures)
        self._watch(figures)
        return " ".join(f"{name} {value:.3g}" for name, value in figures.items() if not name.startswith("gradient "))

    def _watch(self, figures: dict[str, float]) -> None:
        """Warn of an adversarial training that is out of balance, and stop one that has come apart.

        All processes stop, as all have the same figures.
        """
        if self.stability is None:
            return
        for told in self.stability.follow(self.step, figures):
            say(f"{self.run.method}: step {self.step}: {told}")
        if why := self.stability.come_apart:
            best = "" if self.best is None else f"; {self.out / BEST} has the weights that were best in validation"
            raise ValueError(
                f"step {self.step}: the adversarial training has come apart: {why}. --resume would come to the same, "
                "so start anew with another --out and a smaller weight of the adversarial loss or a lower critic_rate "
                f"(--set; `halfmask methods {self.run.method}` lists the settings){best}"
            )

    def _logs(self, step: int) -> bool:
        """Whether figures are noted after so many steps."""
        return step % LOG_EVERY == 0 or step == self._steps

    def _look(self, journal: Journal) -> None:
        """Some ten times in a run, what became of the unlabeled images, or of the features."""
        if found := self.exam.look(self.step, self._steps):
            journal.write(max(self.step - 1, 0), found[0], **found[1])

    def _validate(self, journal: Journal) -> None:
        self._sound()
        grade = self.exam.grade()
        journal.write(self.step - 1, "validation", **grade.figures)
        say(f"{self.run.method}: step {self.step}: {grade.told}")
        self.worse += 1
        if self.best is None or grade.score > self.best:
            self.best, self.worse = grade.score, 0
            self._write(BEST, optimizers=False)
        if self.worse == self.exam.patience:
            self._end(f"{self.worse} times no better than before")

    def _end(self, why: str) -> None:
        """Training has nothing to add."""
        say(f"{self.run.method}: done after {self.step} of {self._steps} steps: {why}")
        self.done = True

    def _due(self, step: int) -> bool:
        """Whether to validate after so many steps."""
        if not self.options.validations or not self.exam.cases:
            return False
        return step % max(1, self._steps // self.options.validations) == 0 or step == self._steps

    def _finish(self) -> dict[str, Any]:
        result = {
            "steps": self.step,
            "seconds": round(self.seconds, 1),
            **computed_on(self.device, self.processes),
            "planned": self._steps,
            **self.exam.result(self.best),
            "labeled": list(self.labeled),
            "unlabeled": len(self.unlabeled),
            "made_with": made_with(),
        }
        if self.processes.leads:
            write_text(self.out / "result.json", json.dumps(result, indent=1))
        return result

    # ------------------------------------------------------------------ position

    def save(self) -> None:
        """Write last.pt.

        Raises:
            ValueError: a loss was not finite, or the processes have come apart.
        """
        self._sound()
        self._write(LAST, optimizers=True)

    def _sound(self) -> None:
        """Make sure that no loss was broken on the way to what is saved, and that it speaks for all processes."""
        self._check()
        self.processes.refuse_apart(self.method.state_dict(), f"method {self.run.method!r}")

    def _contents(self) -> dict[str, Any]:
        """What the run is: all that has to be the same for it to go on."""
        cases = {"labeled": self.labeled, "unlabeled": self.unlabeled, "validation": list(self.exam.cases)}
        groups = self.store.splits.groups_of(itertools.chain(*cases.values()))
        known = {"cases": cases, "groups": groups, "domains": sides(self.run, self.store.splits)}
        return contents(self.plan, self.run, self.store.path) | known

    def _write(self, name: str, *, optimizers: bool) -> None:
        if not self.processes.leads:
            return
        content = self._contents() | {
            "step": self.step,
            "best": self.best,
            "worse": self.worse,
            "done": self.done,
            "seconds": self.seconds,
            "stability": self.stability and dataclasses.asdict(self.stability),
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
        if differs := differences(content, self._contents()):
            raise ValueError(f"{file} is of another run; " + "; ".join(differs))
        if content["threads"] != torch.get_num_threads():
            say(f"going on with {content['threads']} threads, as before, so that the weights come out the same")
            torch.set_num_threads(content["threads"])
        self.method.load_state_dict(content["state"])
        for name, optimizer in self.minimize.optimizers.items():
            optimizer.load_state_dict(content["optimizers"][name])
        self.step, self.best, self.seconds = content["step"], content["best"], content["seconds"]
        self.worse, self.done = content.get("worse", 0), content.get("done", False)
        past = content.get("stability")  # of an older version none, and what it starts from has to be the start
        self.stability = Stability(**past) if past else None

    def initialize(self, init: str) -> None:
        """Take over weights from elsewhere, and say what went over; see `pretrained.read`."""
        initialize(self.method, init, self.run.network_settings)

    @property
    def _steps(self) -> int:
        assert self.run.recipe.steps is not None
        return self.run.recipe.steps
