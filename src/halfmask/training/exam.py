"""What a training looks at besides its losses, by what it is to give: a segmenter, or an encoder to start from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric

from halfmask.data.batch import Images
from halfmask.data.store import Store
from halfmask.learning.method import Pretrainer, Segmenter
from halfmask.learning.processes import Processes
from halfmask.training.device import make_predictor
from halfmask.training.feed import held_cases, make_monitor, make_probe, some_crops, unlabeled_cases
from halfmask.training.run import Run
from halfmask.training.validation import validate, validated

LOOKS = 10
"""How often in a run its unlabeled images, or its features, are looked at."""
JUDGED = 64
"""Crops of held-out cases that a pre-training is judged by, at most."""


@dataclass(frozen=True)
class Grade:
    """How good the weights are on cases that they were not trained on.

    Attributes:
        figures: for the journal.
        score: the greater the better.
        told: the same for the reader.
    """

    figures: Mapping[str, float]
    score: float
    told: str


class Exam(Protocol):
    """What the training loop asks, between steps; the method is in evaluation mode, and nothing of it moves.

    Attributes:
        cases: names of those that `grade` measures on.
        patience: after so many grades that are not the best, training has nothing to add; None never stops it.
    """

    cases: tuple[str, ...]
    patience: int | None

    def look(self, step: int, steps: int) -> tuple[str, Mapping[str, Any]] | None:
        """A kind of journal line and its figures, if it is time to look; by the process that leads alone."""

    def grade(self) -> Grade:
        """By all processes together."""

    def result(self, best: float | None) -> dict[str, Any]:
        """What result.json says of the best grade."""


class Segmentation:
    """Dice of the validation cases, and the monitor of pseudo-labels."""

    patience: int | None = None

    def __init__(self, method: Segmenter, run: Run, store: Store, fabric: Fabric, processes: Processes):
        self.method, self.plan, self.fabric, self.processes = method, store.plan, fabric, processes
        self.cases = tuple(validated(store.splits.folds[run.fold], store.plan))
        self._cases = [store.case(name) for name in self.cases]
        unlabeled = unlabeled_cases(run, store)
        self.monitor = make_monitor(run, store, unlabeled, fabric.device) if processes.leads else None

    def look(self, step: int, steps: int) -> tuple[str, Mapping[str, Any]] | None:
        if self.monitor is None or not step or step % max(1, steps // LOOKS):
            return None
        return "pseudo-labels", self.monitor.look(self.method.eval(), step / steps, self.fabric.autocast)

    def grade(self) -> Grade:
        predictor = make_predictor(self.method.eval(), self.plan, self.fabric)
        dice = validate(predictor, self._cases, self.plan, self.processes)
        figures = {f"dice {name}": value for name, value in dice.items()}
        return Grade(figures, dice["mean"], f"validation Dice {dice['mean']:.4f}")

    def result(self, best: float | None) -> dict[str, Any]:
        return {"best_validation_dice": best}


class Features:
    """The probe of a pre-training's features, and its loss on held-out images where it has one."""

    patience: int | None = 3

    def __init__(self, method: Pretrainer, run: Run, store: Store, fabric: Fabric, processes: Processes):
        self.method, self.fabric, self.processes, self.seed = method, fabric, processes, run.seed
        self.cases = held_cases(run, store)
        self.probe = make_probe(run, store, fabric.device) if processes.leads else None
        size = run.recipe.unlabeled or 1
        self._crops: Sequence[Images] = (
            some_crops(run, store, self.cases, fabric.device, count=JUDGED, size=size, name="held")
            if self.cases
            else ()
        )

    def look(self, step: int, steps: int) -> tuple[str, Mapping[str, Any]] | None:
        if self.probe is None or step % max(1, steps // LOOKS):
            return None
        with self.fabric.autocast():
            return "features", self.probe.look(self.method.kept.eval())

    @torch.no_grad()
    def grade(self) -> Grade:
        self.method.eval()
        with torch.random.fork_rng(devices=_cuda(self.fabric.device)):
            torch.manual_seed(self.seed)  # the same holes and views each time
            with self.fabric.autocast():
                losses = [self.method.judge(images.image).float() * len(images) for images in self._crops]
        mean = torch.stack(losses).sum() / sum(map(len, self._crops))
        self.processes.average([mean])  # devices differ in the last bits, and all have to end after the same step
        loss = float(mean)
        return Grade({"loss": loss}, -loss, f"loss on {len(self.cases)} held-out cases {loss:.4g}")

    def result(self, best: float | None) -> dict[str, Any]:
        return {"best_held_out_loss": None if best is None else -best}


def _cuda(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []


def make_exam(method: Any, *given: Any) -> Exam:
    """The exam for a method; ``given`` as their constructors take it."""
    return Segmentation(method, *given) if isinstance(method, Segmenter) else Features(method, *given)
