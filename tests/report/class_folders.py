"""Runs and studies of classifiers as the verbs leave them, made by hand."""

import json

import numpy as np
import pandas as pd
import yaml
from PIL import Image

from halfmask.data.batch import IGNORE
from halfmask.evaluation.class_table import write_cases, write_metrics
from halfmask.evaluation.classification import measure

CLASSES = ("benign", "malignant", "normal")


def made_up(skill, seed, *, cases=60, classes=CLASSES, multi_label=False):
    """Probabilities and truth (the same for every seed) of a classifier that is right more often with more skill."""
    rng, k = np.random.default_rng(0), len(classes)
    truth = rng.integers(2, size=(cases, k)) if multi_label else rng.integers(k, size=cases)
    has = truth if multi_label else truth[:, None] == np.arange(k)
    logits = np.random.default_rng(100 + seed).normal(size=(cases, k)) + skill * has - skill / 2
    if multi_label:
        truth[3, 0] = IGNORE
        return 1 / (1 + np.exp(-logits)), truth
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True), truth


def class_run(folder, skill, *, method="supervised", seed=0, pictures=False, saliency=(), journal=True, classes=CLASSES,
              cases=60, multi_label=False, **run):  # fmt: skip
    """A run with predicted classes of cases case0, case1, …; returns what `measure` says of it."""
    probability, truth = made_up(skill, seed, cases=cases, classes=classes, multi_label=multi_label)
    names, out = [f"case{n}" for n in range(cases)], folder / "classes"
    out.mkdir(parents=True)
    told = {"method": method, "labels": 30, "seed": seed, "fold": 0, "recipe": {"steps": 100}, "store": "store", **run}
    (folder / "run.yaml").write_text(yaml.safe_dump(told))
    result = {"seconds": 75.0, "device": "cpu", "labeled": ["train0"], "unlabeled": 5}
    (folder / "result.json").write_text(json.dumps(result | {"made_with": {"halfmask": "0.1.0", "python": "3.11"}}))
    lines = [{"step": n, "kind": "train", "supervised": 1 / (n + 1)} for n in range(10)]
    lines += [{"step": n, "kind": "validation", "auc": 0.5 + 0.04 * n, "recall": 0.4 + 0.03 * n} for n in range(10)]
    (folder / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) if journal else "")
    images = {}
    for n, case in enumerate(names if pictures else ()):
        images[case] = [str(_picture(folder.parent / "images" / f"{case}.png", n))]
        for kind in saliency:
            _picture(out / "saliency" / kind / f"{case}.png", n + 1)
    about = {
        "task": "classification", "classes": list(classes), "multi_label": multi_label, "run": str(folder.resolve()),
        "method": method, "checkpoint": "last", "split": "test", "cases": names, "images": images, "labels": {},
    }  # fmt: skip
    (out / "prediction.json").write_text(json.dumps(about))
    write_cases(out / "cases.csv", names, probability, truth, classes, multi_label=multi_label)
    measured = measure(probability, truth, classes)
    write_metrics(out / "metrics.csv", measured)
    if saliency:
        rows = [{"case": c, "kind": k, "pointing": n % 2, "energy": 0.4, "area": 0.1 if n else "nan"}
                for k in saliency for n, c in enumerate(names)]  # fmt: skip
        pd.DataFrame(rows).to_csv(out / "saliency.csv", index=False)
    return measured


def _picture(file, n):
    """A bright disk on gray noise."""
    file.parent.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[:48, :64]
    inside = np.exp(-((y - 10 - n % 20) ** 2 + (x - 20 - n % 30) ** 2) / 60)
    noise = np.random.default_rng(n).integers(60, size=(48, 64))
    Image.fromarray((noise + 190 * inside).astype(np.uint8)).save(file)
    return file


def class_study(folder, skills, *, budgets=None, seeds=(0, 1, 2), multi_label=False, pictures=False, **told):
    """A study whose arm ``a`` has the skill ``skills[a][k]`` at budget k; None for a cell without finished runs."""
    budgets = budgets or {"10 labels": 10, "20 labels": 20}
    rows, runs = [], []
    for arm, figures in skills.items():
        for (budget, labels), skill in zip(budgets.items(), figures, strict=True):
            for seed in seeds:
                name, done = f"{list(skills).index(arm)}-{labels}-{seed}", skill is not None
                key = {"arm": arm, "budget": budget, "method": arm, "network": "unet", "pretraining": "none",
                       "slices": 1.0, "fold": 0, "draw": seed, "seed": seed}  # fmt: skip
                runs.append({**key, "name": name, "labels": str(labels), "state": "done" if done else "waiting",
                             "error": None, "seconds": 60.0 if done else None})  # fmt: skip
                if done:
                    saliency = ("grad_cam",) if pictures and seed == seeds[0] else ()
                    measured = class_run(folder / "runs" / name, skill, method=arm, seed=seed, multi_label=multi_label,
                                         pictures=pictures and seed == seeds[0], saliency=saliency)  # fmt: skip
                    rows += [{**key, "labels": labels, "run": name, "case": "all", "group": "all", "structure": s, **m}
                             for s, m in measured.items()]  # fmt: skip
    manifest = {
        "format": 1, "task": "classification", "name": "made up", "question": "Does it help?", "smoke": False,
        "baseline": next(iter(skills)), "arms": list(skills), "budgets": list(budgets), "measured_on": "test",
        "checkpoint": "last", "study": {"name": "made up", "methods": dict.fromkeys(skills)}, "git": None,
        "reported": None, "runs": runs, **told,
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.json").write_text(json.dumps(manifest))
    if rows:
        pd.DataFrame(rows).to_csv(folder / "results.csv", index=False, na_rep="nan")
    return folder
