"""Training for masks: Dice in validation, by domain where there are such, and what becomes of the pseudo-labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from lightning_fabric import Fabric

from halfmask.data.store import Store
from halfmask.data.stored_case import StoredCase
from halfmask.inference.predict import Predictor
from halfmask.learning.method import Segmenter
from halfmask.learning.processes import Processes
from halfmask.networks.domain_norm import set_domain
from halfmask.progress import say
from halfmask.training.cases import source_domains, unfit_choice, unlabeled_cases
from halfmask.training.device import make_predictor
from halfmask.training.exam.grade import LOOKS, Grade
from halfmask.training.feed import make_monitor
from halfmask.training.run import Run
from halfmask.training.validation import means, validate, validated


class Segmentation:
    """Dice of the validation cases, and the monitor of pseudo-labels.

    In domain adaptation the best weights are those that are best on the source: the target's labels, where there are
    any, are shown and choose nothing. Where no case of the source validates, those that do choose after all, and a
    warning says so.
    """

    patience: int | None = None

    def __init__(self, method: Segmenter, run: Run, store: Store, fabric: Fabric, processes: Processes):
        self.method, self.plan, self.fabric, self.processes = method, store.plan, fabric, processes
        source = source_domains(run, store.splits)
        if told := unfit_choice(run, store.splits):
            say(f"warning: {told}")
        self.source, self.domains = source or (), {} if source is None else store.splits.domains
        self.cases = tuple(validated(store.splits.folds[run.fold], store.plan, domains=self.domains))
        self._cases = [store.case(name) for name in self.cases]
        unlabeled = unlabeled_cases(run, store)
        self.monitor = make_monitor(run, store, unlabeled, fabric.device) if processes.leads else None

    def look(self, step: int, steps: int) -> tuple[str, Mapping[str, Any]] | None:
        if self.monitor is None or not step or step % max(1, steps // LOOKS):
            return None
        set_domain(self.method, "target")
        return "pseudo-labels", self.monitor.look(self.method.eval(), step / steps, self.fabric.autocast)

    def grade(self) -> Grade:
        dice = validate(self._predictor, self._cases, self.plan, self.processes, self.domains)
        found = means(dice, self.plan)
        figures, told = {f"dice {name}": value for name, value in found.items()}, ""
        if by_domain := self._by_domain(dice):
            figures |= {f"dice mean {domain}": value for domain, value in by_domain.items()}
            told = f" ({', '.join(f'{domain} {value:.4f}' for domain, value in by_domain.items())})"
        own = dice[[self.domains.get(name) in self.source for name in self.cases]]
        score = means(own, self.plan)["mean"] if len(own) else found["mean"]
        return Grade(figures, score, f"validation Dice {found['mean']:.4f}{told}")

    def _by_domain(self, dice: np.ndarray) -> dict[str, float]:
        of = [self.domains.get(name) for name in self.cases]
        rows = {domain: [each == domain for each in of] for domain in sorted({each for each in of if each is not None})}
        return {domain: means(dice[chosen], self.plan)["mean"] for domain, chosen in rows.items()}

    def result(self, best: float | None) -> dict[str, Any]:
        return {"best_validation_dice": best}

    def predict(self, case: StoredCase) -> object:
        return self._predictor.decide(self._predictor.probability(case.normalized(), self.domains.get(case.name)))

    @property
    def _predictor(self) -> Predictor:
        return make_predictor(self.method.eval(), self.plan, self.fabric, source=self.source)
