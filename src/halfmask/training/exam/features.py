"""Pre-training: whether features mean something, and the loss on images held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning_fabric import Fabric

from halfmask.data.batch import Images
from halfmask.data.store import Store
from halfmask.data.stored_case import StoredCase
from halfmask.learning.method import Pretrainer
from halfmask.learning.processes import Processes
from halfmask.training.cases import held_cases
from halfmask.training.exam.grade import LOOKS, Grade
from halfmask.training.feed import make_probe, some_crops
from halfmask.training.run import Run

JUDGED = 64
"""Crops of held-out cases that a pre-training is judged by, at most."""


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

    def predict(self, case: StoredCase) -> object:
        return None


def _cuda(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []
