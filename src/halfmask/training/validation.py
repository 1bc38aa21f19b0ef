"""How well a method does on the validation cases, during training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from halfmask.data.batch import IGNORE
from halfmask.data.plan import Plan
from halfmask.data.stored_case import StoredCase
from halfmask.evaluation.metrics import measure
from halfmask.inference.classify import ClassPredictor
from halfmask.inference.predict import Predictor
from halfmask.learning.processes import ALONE, Processes

MOST = {"scans": 10, "pictures": 100}
"""At most so many cases are validated on, the same each time; a picture is a slice, and costs as little."""


def validated(cases: Sequence[str], plan: Plan, most: int | None = None) -> list[str]:
    """Those of a fold's cases that are looked at during training, evenly over all; `MOST` of them unless told."""
    most = most or MOST["pictures" if plan.orientation is None else "scans"]
    return list(cases[:: max(1, -(-len(cases) // most))])


def classify(predictor: ClassPredictor, cases: Sequence[StoredCase], processes: Processes = ALONE) -> np.ndarray:
    """Probabilities (N, K) of what stored images show; shared out over the processes, each is given all."""
    shares = processes.gather(predictor.probability(c.normalized() for c in cases[processes.rank :: processes.size]))
    return np.stack([shares[n % processes.size][n // processes.size] for n in range(len(cases))])


def validate(
    predictor: Predictor, cases: Sequence[StoredCase], plan: Plan, processes: Processes = ALONE
) -> dict[str, float]:
    """Mean Dice of each structure over the cases, on the prepared grid, and "mean" over the structures.

    The cases are shared out over the processes; each is given the result.
    """
    rows = []
    for case in cases[processes.rank :: processes.size]:
        prediction = predictor.decide(predictor.probability(case.normalized()))
        figures = measure(
            prediction,
            case.label[:],
            spacing=(1.0, 1.0, 1.0),  # overlap needs none
            structures=plan.structures,
            ignore=IGNORE,
            metrics=("dice",),
        )
        rows.append([figures[name]["dice"] for name in plan.structures])
    shares = processes.gather(rows)
    rows = [shares[number % processes.size][number // processes.size] for number in range(len(cases))]
    means = np.mean(rows, 0)
    return {name: float(m) for name, m in zip(plan.structures, means, strict=True)} | {"mean": float(means.mean())}
