"""A study made so small that it runs in minutes on made-up data: whether it works, not what it finds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from halfmask.data.atomic import write_text
from halfmask.data.phantom import make_phantoms
from halfmask.study.grid import arms
from halfmask.study.jobs import Place
from halfmask.study.protocol import Preparation, Row, Study, Training
from halfmask.study.rows import Own

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
    "resnet18": {"width": 8, "blocks": [1, 1, 1, 1]},
    "resnet50": {"width": 8, "blocks": [1, 1, 1, 1]},
    "vit_ti16": {"hidden_size": 24, "layers": 2, "heads": 2},
    "vit_b16": {"hidden_size": 24, "layers": 2, "heads": 2},
}
"""Settings that make each network small."""


def make_small(study: Study, place: Place) -> tuple[Study, Place]:
    """The study on a phantom cohort, which is made in the study's folder: slices of 64 pixels, few steps, small
    networks, one seed, two folds, draws and shares of slices at most. Every arm and every kind of budget stays."""
    cohort, others = place.out / COHORT, place.out / f"{COHORT}-pretraining"
    adapts = any(arm.source is not None or arm.target is not None for arm in arms(study))
    labeled = 2 * LABELED if adapts else LABELED
    if not (cohort / "dataset.json").is_file():
        sealed = SEALED if study.measured_on == "test" else 0
        subjects = labeled + SEALED + OTHERS
        make_phantoms(cohort, subjects=subjects, labeled=labeled, test=sealed, shape=SHAPE)
    if study.classifies and not (cohort / "cases.csv").is_file():
        write_classes(cohort)
    own = any((row or {}).get("data") for row in study.pretraining.values())
    if own and not (others / "dataset.json").is_file():
        make_phantoms(others, subjects=OTHERS, labeled=1, test=0, shape=SHAPE, seed=1, name="other")
    labels = _few(study.labels)
    small = {
        "prepare": Preparation(classes="scanner", folds=2)
        if study.classifies
        else Preparation(dims=2, test=0.0, folds=2, stratify=adapts or None),
        "plan": PLAN | {"patch": [32, 32, 32]} if study.classifies else PLAN,
        "methods": {label: _row(study, label, labels) for label in study.methods},
        "networks": {label: _network(label, row or {}) for label, row in study.networks.items()}
        or {"unet": NETWORKS["unet"] | _norm(study.plan.get("network_settings") or {})},
        "pretraining": {label: _variant(row or {}, study) for label, row in study.pretraining.items()},
        "labels": list(dict.fromkeys(labels.values())),
        "slices": list(dict.fromkeys([study.slices[0], study.slices[-1]])),
        "folds": [0, 1] if study.folds == "all" else [fold for fold in study.folds if fold < 2] or [0],
        "draws": study.draws and study.draws[:2],
        "seeds": study.seeds[:1],
        "source": _sides(study, study.source),
        "target": _sides(study, study.target),
        "recipe": _short(study.recipe),
        "precision": "32",
        "validations": 1,
        "reported": None,
    }
    return study.model_copy(update=small), replace(place, data=cohort, pretraining_data=others)


def write_classes(cohort: Path) -> None:
    """A table of the cohort's cases beside it: whole images to be told apart by their scanner, where labels are."""
    about = json.loads((cohort / "dataset.json").read_text(encoding="utf-8"))
    lines = ["case,image,label,scanner,split"]
    for split, part in (("train", "training"), ("test", "test")):
        for case in about[part]:
            told = (case["image"], case.get("label", ""), case["domain"] if "label" in case else "", split)
            lines.append(",".join([Path(case["image"]).name.removesuffix(".nii.gz"), *told]))
    write_text(cohort / "cases.csv", "\n".join(lines) + "\n")


def _sides(study: Study, named: Any) -> list[str] | None:
    """The cohort's scanners in place of domains: A for the study's source, B for all others; if the study has a target
    alone, B for that."""
    names = [named] if isinstance(named, str) else named
    own = lambda name: name in study.source if study.source else name not in (study.target or [])
    return names and sorted({"A" if own(name) else "B" for name in names})


def _few(budgets: list[str]) -> dict[str, str]:
    """For each budget one that the cohort has: counts become 1, 2, 3; of shares the first stays; "all" stays."""
    counts = [budget for budget in budgets if budget.isdigit()]
    shares = [budget for budget in budgets if budget.endswith("%")]
    small = {count: str(min(n + 1, COUNT)) for n, count in enumerate(counts)}
    return {budget: small.get(budget, shares[0] if budget in shares else budget) for budget in budgets}


def _row(study: Study, label: str, labels: dict[str, str]) -> Row:
    small = dict(study.methods[label] or {})
    if "labels" in small:
        own = Own.of(label, dict(small), study).labels or ()
        small["labels"] = list(dict.fromkeys(labels[budget] for budget in own))
    if "recipe" in small:
        small["recipe"] = _shortened(small["recipe"])
    return small | {side: _sides(study, small[side]) for side in ("source", "target") if side in small}


def _network(label: str, row: Row) -> Row:
    return {"network": row.get("network", label)} | NETWORKS.get(str(row.get("network", label)), {}) | _norm(row)


def _norm(row: Row) -> Row:
    """It stays, as what a study predicts with may need batch norm."""
    return {"norm": row["norm"]} if "norm" in row else {}


def _variant(row: Row, study: Study) -> Row:
    """Weights from elsewhere would fit no small network, so such a variant keeps its label and starts from nothing."""
    if "init" in row:
        return {"init": None}
    if not row:
        return {}
    small = {**row, "recipe": _shortened(row.get("recipe", {}), batch="4")}
    if "on" in row and "peer" in row:
        small["peer_settings"] = NETWORKS[row["peer"]]
    return {**small, "prepare": {"dims": 2, "test": 0.0}} if row.get("data") else small


def _short(recipe: Training) -> Training:
    return recipe.model_copy(update=_shortened({}))


def _shortened(recipe: dict[str, Any], batch: str = "2+2") -> dict[str, Any]:
    return {**recipe, "steps": STEPS, "batch": batch}
