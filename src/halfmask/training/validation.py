"""How well a method does on the validation cases, during training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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


def validated(
    cases: Sequence[str], plan: Plan, most: int | None = None, domains: Mapping[str, str] | None = None
) -> list[str]:
    """Those of a fold's cases that are looked at during training, evenly over all; `MOST` of them unless told.

    Args:
        domains: of the cases, each of which then has an equal part of them, as far as it has as many.
    """
    most = most or MOST["pictures" if plan.orientation is None else "scans"]
    parts: dict[str | None, list[str]] = {}
    for case in cases:
        parts.setdefault((domains or {}).get(case), []).append(case)
    part = max(1, most // max(1, len(parts)))
    found = {case for names in parts.values() for case in names[:: max(1, -(-len(names) // part))]}
    return [case for case in cases if case in found][:most]


def classify(predictor: ClassPredictor, cases: Sequence[StoredCase], processes: Processes = ALONE) -> np.ndarray:
    """Probabilities (N, K) of what stored images show; shared out over the processes, each is given all."""
    shares = processes.gather(predictor.probability(c.normalized() for c in cases[processes.rank :: processes.size]))
    return np.stack([shares[n % processes.size][n // processes.size] for n in range(len(cases))])


def validate(
    predictor: Predictor,
    cases: Sequence[StoredCase],
    plan: Plan,
    processes: Processes = ALONE,
    domains: Mapping[str, str] | None = None,
) -> np.ndarray:
    """Dice (N, S) of each case and structure of the plan, on the prepared grid.

    The cases are shared out over the processes; each is given the result.

    Args:
        domains: of the cases, where the predictor makes a difference between them.
    """
    rows = []
    for case in cases[processes.rank :: processes.size]:
        domain = (domains or {}).get(case.name)
        prediction = predictor.decide(predictor.probability(case.normalized(), domain))
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
    return np.array([shares[number % processes.size][number // processes.size] for number in range(len(cases))])


def means(dice: np.ndarray, plan: Plan) -> dict[str, float]:
    """Of Dice (N, S) the mean of each structure over the cases, and "mean" over the structures."""
    found = dice.mean(0)
    return {name: float(m) for name, m in zip(plan.structures, found, strict=True)} | {"mean": float(found.mean())}
