"""How well a method does on the validation cases, during training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from halfmask.data.batch import IGNORE
from halfmask.data.plan import Plan
from halfmask.data.stored_case import StoredCase
from halfmask.evaluation.metrics import measure
from halfmask.inference.predict import Predictor

MOST = 10
"""At most so many cases are validated on, the same each time."""


def validate(predictor: Predictor, cases: Sequence[StoredCase], plan: Plan) -> dict[str, float]:
    """Mean Dice of each structure over the cases, on the prepared grid, and "mean" over the structures."""
    rows = []
    for case in cases:
        p = predictor.probability(case.normalized())
        prediction = p.max(0).indices.to(torch.uint8).cpu().numpy()
        figures = measure(
            prediction,
            case.label[:],
            spacing=(1.0, 1.0, 1.0),  # overlap needs none
            structures=plan.structures,
            ignore=IGNORE,
            metrics=("dice",),
        )
        rows.append([figures[name]["dice"] for name in plan.structures])
    means = np.mean(rows, 0)
    return {name: float(m) for name, m in zip(plan.structures, means, strict=True)} | {"mean": float(means.mean())}
