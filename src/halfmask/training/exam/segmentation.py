"""Training for masks: Dice in validation, and what becomes of the pseudo-labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning_fabric import Fabric

from halfmask.data.store import Store
from halfmask.data.stored_case import StoredCase
from halfmask.inference.predict import Predictor
from halfmask.learning.method import Segmenter
from halfmask.learning.processes import Processes
from halfmask.training.device import make_predictor
from halfmask.training.exam.grade import LOOKS, Grade
from halfmask.training.feed import make_monitor, unlabeled_cases
from halfmask.training.run import Run
from halfmask.training.validation import validate, validated


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
        dice = validate(self._predictor, self._cases, self.plan, self.processes)
        figures = {f"dice {name}": value for name, value in dice.items()}
        return Grade(figures, dice["mean"], f"validation Dice {dice['mean']:.4f}")

    def result(self, best: float | None) -> dict[str, Any]:
        return {"best_validation_dice": best}

    def predict(self, case: StoredCase) -> object:
        return self._predictor.decide(self._predictor.probability(case.normalized()))

    @property
    def _predictor(self) -> Predictor:
        return make_predictor(self.method.eval(), self.plan, self.fabric)
