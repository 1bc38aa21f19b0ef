"""Training for classes of whole images: how well they are told apart in validation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from lightning_fabric import Fabric

from halfmask.data.batch import IGNORE
from halfmask.data.store import Store
from halfmask.data.stored_case import StoredCase
from halfmask.evaluation.classification import measure
from halfmask.inference.classify import ClassPredictor
from halfmask.learning.method import Classifier
from halfmask.learning.processes import Processes
from halfmask.progress import say
from halfmask.training.cases import source_domains, unfit_choice
from halfmask.training.device import make_class_predictor
from halfmask.training.exam.grade import Grade
from halfmask.training.run import Run
from halfmask.training.validation import classify, validated

MOST = 500
"""Images that are validated on, at most."""


class Classification:
    """How well the validation images are told apart: by the area under the ROC curve, which no threshold sways.

    Of images of one class alone there is none; the log loss then says which weights are the best. Where labels of a
    source alone are read, the best weights are those that are best on it, see `exam.segmentation`.
    """

    patience: int | None = None

    def __init__(self, method: Classifier, run: Run, store: Store, fabric: Fabric, processes: Processes):
        self.method, self.plan, self.fabric, self.processes = method, store.plan, fabric, processes
        source = source_domains(run, store.splits)
        domains = {} if source is None else store.splits.domains
        if told := unfit_choice(run, store.splits):
            say(f"warning: {told}")
        self.cases = tuple(validated(store.splits.folds[run.fold], store.plan, MOST, domains))
        self._cases = [store.case(name) for name in self.cases]
        own = np.array([source is None or domains.get(name) in source for name in self.cases], dtype=bool)
        self._own = own if own.any() else ~own
        targets = np.array([case.target for case in self._cases])
        self._truth = targets[:, 0] if len(targets) and self.plan.exclusive else targets

    def look(self, step: int, steps: int) -> tuple[str, Mapping[str, Any]] | None:
        return None

    def grade(self) -> Grade:
        probability = classify(self._predictor, self._cases, self.processes)
        mean = lambda rows: measure(probability[rows], self._truth[rows], list(self.plan.labels))["mean"]
        told, own = mean(np.full(len(self.cases), True)), mean(self._own)
        figures = {name: told[name] for name in ("auc", "recall", "f1", "log_loss")}
        recall, loss = f"balanced recall {told['recall']:.4f}", told["log_loss"]
        if self._ranked:
            return Grade(figures, own["auc"], f"validation AUC {told['auc']:.4f}, {recall}")
        return Grade(
            figures, -own["log_loss"], f"validation log loss {loss:.4f}, {recall}; no AUC, as one class is there alone"
        )

    def result(self, best: float | None) -> dict[str, Any]:
        if best is None or self._ranked:
            return {"best_validation_auc": best}
        return {"best_validation_log_loss": -best}

    @property
    def _ranked(self) -> bool:
        """Whether some class is there and missing in other images that choose, so that there is an AUC."""
        truth = self._truth[self._own]
        columns = truth[:, None] if self.plan.exclusive else truth
        return any(len(set(column) - {IGNORE}) > 1 for column in columns.T)

    def predict(self, case: StoredCase) -> object:
        return self._predictor.probability([case.normalized()])

    @property
    def _predictor(self) -> ClassPredictor:
        return make_class_predictor(self.method.eval(), self.plan, self.fabric)
