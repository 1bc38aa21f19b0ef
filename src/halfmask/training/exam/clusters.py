"""Clustering: the share of each cluster, as one may take all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from lightning_fabric import Fabric

from halfmask.data.store import Store
from halfmask.data.stored_case import StoredCase
from halfmask.learning.method import Clusterer
from halfmask.learning.processes import Processes
from halfmask.progress import say
from halfmask.training.cases import unlabeled_cases
from halfmask.training.device import make_predictor
from halfmask.training.exam.grade import LOOKS, Grade
from halfmask.training.feed import MONITORED, some_crops
from halfmask.training.run import Run

ALL = 0.99
"""Of a cluster with a larger share one says that it has taken all."""


class Clusters:
    """The share of each cluster on some images; without labels nothing says how good they are."""

    patience: int | None = None
    cases: tuple[str, ...] = ()

    def __init__(self, method: Clusterer, run: Run, store: Store, fabric: Fabric, processes: Processes):
        self.method, self.name, self.fabric = method, run.method, fabric
        self.plan = store.plan
        size, count = run.recipe.unlabeled or 1, MONITORED[store.plan.dims]
        given = (run, store, unlabeled_cases(run, store), fabric.device)
        self._crops = some_crops(*given, count=count, size=size, name="clusters") if processes.leads else []

    @torch.no_grad()
    def look(self, step: int, steps: int) -> tuple[str, Mapping[str, Any]] | None:
        if not self._crops or not step or step % max(1, steps // LOOKS):
            return None
        self.method.eval()
        with self.fabric.autocast():
            said = torch.cat([self.method.predict(crops.image).argmax(1).flatten() for crops in self._crops])
        shares = (said.bincount(minlength=self.method.clusters) / len(said)).tolist()
        if max(shares) > ALL:
            say(
                f"warning: {self.name}: at step {step} cluster {shares.index(max(shares))} has {max(shares):.1%} of "
                "all voxels, so clustering has collapsed; try another --seed, sgd, a lower --rate, or --init"
            )
        return "clusters", {f"cluster {number}": share for number, share in enumerate(shares)}

    def grade(self) -> Grade:
        raise AssertionError("clusters are not graded: it would take labels")

    def result(self, best: float | None) -> dict[str, Any]:
        return {}

    def predict(self, case: StoredCase) -> object:
        predictor = make_predictor(self.method.eval(), self.plan, self.fabric)
        return predictor.decide(predictor.probability(case.normalized()))
