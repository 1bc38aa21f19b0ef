"""A study made so small that it runs in minutes on made-up data: whether it works, not what it finds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from halfmask.data.phantom import make_phantoms
from halfmask.study.jobs import Place
from halfmask.study.protocol import Preparation, Row, Study, Training

COHORT = "cohort"
LABELED, SEALED, OTHERS, SHAPE = 6, 2, 4, (16, 64, 64)
COUNT = 3
"""Labels that a fold of the cohort has at most."""
STEPS = 10
PLAN = {"patch": [64, 64], "labeled": 2, "unlabeled": 2}
NETWORKS: dict[str, Row] = {
    "unet": {"width": 8},
    "residual_unet": {"width": 8},
    "vnet": {"width": 8},
    "resnet_unet": {"width": 8, "blocks": [1, 1, 1, 1]},
    "swin_unet": {"embed": 24, "window": 2},
    "swin_unetr": {"feature_size": 12, "window": 2},
    "unetr": {"feature_size": 8, "hidden_size": 48, "layers": 4, "heads": 4, "mlp": 96},
}
"""Settings that make each network small."""


def make_small(study: Study, place: Place) -> tuple[Study, Place]:
    """The study on a phantom cohort, which is made in the study's folder: slices of 64 pixels, few steps, small
    networks, one seed, two folds and draws at most. Every arm and every kind of budget stays."""
    cohort = place.out / COHORT
    if not (cohort / "dataset.json").is_file():
        sealed = SEALED if study.measured_on == "test" else 0
        subjects = LABELED + SEALED + OTHERS
        make_phantoms(cohort, subjects=subjects, labeled=LABELED, test=sealed, shape=SHAPE)
    labels = _few(study.labels)
    small = {
        "prepare": Preparation(dims=2, test=0.0, folds=2),
        "plan": PLAN,
        "methods": {label: _row(row or {}, labels) for label, row in study.methods.items()},
        "networks": {label: _network(label, row or {}) for label, row in study.networks.items()}
        or {"unet": NETWORKS["unet"]},
        "pretraining": {label: _variant(row or {}) for label, row in study.pretraining.items()},
        "labels": list(dict.fromkeys(labels.values())),
        "folds": [0, 1] if study.folds == "all" else [fold for fold in study.folds if fold < 2] or [0],
        "draws": study.draws and study.draws[:2],
        "seeds": study.seeds[:1],
        "recipe": _short(study.recipe),
        "precision": "32",
        "validations": 1,
        "reported": None,
    }
    return study.model_copy(update=small), replace(place, data=cohort, pretraining_data=cohort)


def _few(budgets: list[str]) -> dict[str, str]:
    """For each budget one that the cohort has: counts become 1, 2, 3; shares and "all" stay."""
    counts = [budget for budget in budgets if budget.isdigit()]
    return {b: str(min(counts.index(b) + 1, COUNT)) if b in counts else b for b in budgets}


def _row(row: Row, labels: dict[str, str]) -> Row:
    small = dict(row)
    if "labels" in row:
        given = row["labels"] if isinstance(row["labels"], list) else [row["labels"]]
        small["labels"] = list(dict.fromkeys(labels[str(budget)] for budget in given))
    if "recipe" in row:
        small["recipe"] = _shortened(row["recipe"])
    return small


def _network(label: str, row: Row) -> Row:
    return {"network": row.get("network", label)} | NETWORKS.get(str(row.get("network", label)), {})


def _variant(row: Row) -> Row:
    """Weights from elsewhere would fit no small network, so such a variant starts from nothing."""
    if not row or "init" in row:
        return {}
    return {**row, "prepare": {"dims": 2, "test": 0.0}, "recipe": _shortened(row.get("recipe") or {})}


def _short(recipe: Training) -> Training:
    return recipe.model_copy(update=_shortened({}))


def _shortened(recipe: dict[str, Any]) -> dict[str, Any]:
    return {**recipe, "steps": STEPS, "batch": "2+2"}
