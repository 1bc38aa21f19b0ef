"""What `predict` and `evaluate` do where whole images are told apart."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from halfmask.data.index import Case
    from halfmask.inference.classify import ClassPredictor


def predict_classes(
    cases: Sequence[Case], predictor: ClassPredictor, out: Path, about: dict[str, Any], *, saliency: bool
) -> Path:
    """Write what whole images show, and where the network looked."""
    import json

    from halfmask.data.atomic import write_text
    from halfmask.evaluation.class_table import CASES, write_cases
    from halfmask.evaluation.class_truth import ABOUT, make_room
    from halfmask.evaluation.saliency import FOLDER
    from halfmask.inference.classify import classify_cases
    from halfmask.inference.predict import refuse_among

    plan = predictor.plan
    refuse_among(cases, out)
    make_room(out)
    about |= {"task": plan.task, "classes": list(plan.labels), "columns": plan.columns}
    about |= {
        "cases": [c.name for c in cases],
        "images": {c.name: [str(p.resolve()) for p in c.images] for c in cases},
        "multi_label": not plan.exclusive,
    }
    write_text(out / ABOUT, json.dumps(about, indent=1))
    found = classify_cases(cases, predictor, out / FOLDER if saliency else None)
    write_cases(out / CASES, found.names, found.probability, None, list(plan.labels), multi_label=not plan.exclusive)
    if found.failed:
        raise ValueError("\n".join([f"{len(found.failed)} of {len(cases)} cases were not read:", *found.failed]))
    print(f"{len(found.names)} cases in {out / CASES}")
    return out / CASES


def evaluate_classes(predictions: Path, labels: Path, out: Path) -> pd.DataFrame:
    """The figures of whole images' classes, a row for each class and one for all."""
    import pandas as pd

    from halfmask.evaluation import class_table, class_truth, classification, saliency

    judged = class_truth.judge(predictions, labels)
    found, looked = judged.predictions, saliency.measured(predictions, judged.index)
    given = (found.probability, found.truth, found.classes)
    measured = classification.measure(*given)
    class_table.write_cases(
        predictions / class_table.CASES, found.cases, found.probability, found.truth, found.classes,
        multi_label=found.multi_label,
    )  # fmt: skip
    class_table.write_metrics(out, measured)
    class_truth.note(predictions, labels, out)
    print(class_table.render(measured, None if found.multi_label else classification.confusion(*given)))
    if len(looked):
        saliency.write(looked, predictions / saliency.TABLE)
        means = looked.groupby("kind")[["pointing", "energy", "area"]].mean().round(3)
        print(f"Where it looked, in {looked['case'].nunique()} cases with a mask:\n{means.to_string()}")
    else:
        (predictions / saliency.TABLE).unlink(missing_ok=True)
    print(f"{len(found.cases)} cases; figures in {out}")
    return pd.DataFrame(measured).T.rename_axis("structure").reset_index()
