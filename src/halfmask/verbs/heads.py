"""Raw heads where the plan wants brains: made on the way in, and what is predicted of them brought back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from halfmask.brain.settings import Settings
    from halfmask.data.formats import Kind
    from halfmask.data.index import Case, Index
    from halfmask.data.plan import Plan


def asked_brains(out: Path, fields: dict[str, Any]) -> Settings | None:
    """What a store's plan, or what was given beside it, says of brains.

    Raises:
        ValueError: what was given is no such thing, or the store was made without brains.
    """
    from halfmask.brain.settings import differing, settings_from
    from halfmask.data.plan import read_plan

    file = out / "plan.yaml"
    planned = read_plan(file).brain if file.is_file() else None
    given = fields.pop("brain", None)
    there = None if planned is None else settings_from(planned, where=f"{file}: brain")
    if given in (None, False):
        return there
    if file.is_file() and there is None:
        raise ValueError(f"{file} exists and is a plan for images as they are; give another --out to make brains first")
    asked = settings_from(given, where="--set brain")
    if there is not None and (differ := differing(there, asked)):
        raise ValueError(f"{file} exists and is obeyed, but of brain {differ}. Edit the file, or give another --out")
    return there or asked


def stored_brains(
    index: Index, out: Path, settings: Settings, drawing: dict[str, Any], executor: Executor | None
) -> tuple[Index, dict[str, Any]]:
    """The data set of brains in a store, made of raw heads; and the settings for its plan, landmarks included.

    Brains follow the store's plan: those that an edited one wants otherwise are made anew. Landmarks are learned from
    cases outside the test part, so this is drawn first, as `prepare` will.

    Args:
        drawing: test, seed, folds and stratify, as `prepare` takes them.
    """
    from halfmask.brain.cohort import bring_all, settings_of, write_settings
    from halfmask.brain.settings import NONE, TEMPLATE
    from halfmask.data.draw import draw_splits
    from halfmask.data.layouts import read_index
    from halfmask.data.plan import read_plan, write_plan
    from halfmask.data.split import read_splits
    from halfmask.data.store import BRAINS

    if settings.reference not in (TEMPLATE, NONE):
        raise ValueError(
            f"brain: reference is {settings.reference!r}; a model has to carry it along, so it can only be template or "
            "none here. Make brains by halfmask brain, and prepare those"
        )
    if (file := out / "splits.yaml").is_file():
        splits = read_splits(file, index.cases)
    else:
        share = 0.2 if drawing["test"] is None else drawing["test"]
        splits = draw_splits(index, test=share, folds=drawing["folds"], seed=drawing["seed"] or 0,
                             stratify=bool(drawing["stratify"]))  # fmt: skip
    tested = {splits.group(name) for name in splits.test}
    learned = {case.name for case in index.cases if splits.group(case.name) not in tested}
    if (plan_file := out / "plan.yaml").is_file():
        write_settings(out / BRAINS, settings)
    folder = bring_all(index, out / BRAINS, settings, learn_from=learned, executor=executor)
    told = settings_of(folder).model_dump(mode="json")
    if plan_file.is_file() and (plan := read_plan(plan_file)).brain != told:  # what was left out is filled in
        write_plan(plan.model_copy(update={"brain": told}), plan_file)
    return read_index(folder, classes=index.columns), told


def is_brains(images: Path, plan: Plan) -> bool:
    """Whether these are brains already, made by `halfmask brain`; warns if not as the plan has it."""
    from halfmask.brain.cohort import TOLD, settings_of
    from halfmask.brain.settings import differing, settings_from
    from halfmask.progress import say

    folder = next((folder for folder in (images, images.parent) if (folder / TOLD).is_file()), None)
    if folder is None:
        return False
    there, asked = settings_of(folder), settings_from(plan.brain, where="the plan's brain")
    if there != asked:
        differ = differing(there, asked) or "its landmarks are others"
        remedy = "give the raw heads, or make them by `halfmask brain --like STORE/brains`"
        say(f"warning: {folder} was made by other settings than the run's brains: {differ}; {remedy}")
    return True


def predicted_brains(heads: Sequence[Case], plan: Plan, folder: Path) -> tuple[list[Case], list[str]]:
    """Raw heads as the brains that a model was trained on, made in ``folder``; and what is to be told of those that
    gave none.

    Raises:
        ValueError: none gave one.
    """
    from halfmask.brain.cohort import NotBrought, bring_all
    from halfmask.brain.settings import settings_from
    from halfmask.data.index import Index
    from halfmask.data.layouts import read_index

    unlabeled = tuple(replace(case, label=None, mask=None, target=None) for case in heads)
    settings = settings_from(plan.brain, where="the plan's brain")
    failed = []
    try:
        bring_all(Index(folder, unlabeled, tuple(plan.channels)), folder, settings)
    except NotBrought as e:
        if not any((folder / "cases.csv").read_text(encoding="utf-8").splitlines()[1:]):
            raise
        failed.append(str(e))
    made = {case.name: case for case in read_index(folder).cases}
    return [replace(case, images=made[case.name].images) for case in unlabeled if case.name in made], failed


def predict_heads(
    heads: Sequence[Case],
    plan: Plan,
    out: Path,
    predict: Callable[[list[Case], Path], list[Path]],
    *,
    names: Mapping[int, str],
    kind: Kind | None = None,
) -> list[Path]:
    """Masks of raw heads, each on its first image's own grid and in its format or another.

    The brains stay in ``out/brains``, where their quality can be looked at. A head that fails keeps no other from it.

    Args:
        predict: writes the masks of brains into a folder.
        names: of the numbers in a mask.
        kind: the format; each first image's own if None.

    Raises:
        ValueError: at the end, with every head that gave no brain or no mask.
    """
    import json
    import tempfile

    from halfmask.brain.back import bring_back
    from halfmask.data.atomic import write_text
    from halfmask.data.formats import stem
    from halfmask.data.store import BRAINS
    from halfmask.inference.predict import ABOUT, refuse_among, refuse_formats, remove_others

    refuse_among(heads, out)
    refuse_formats(heads, kind)
    brains, failed = predicted_brains(heads, plan, out / BRAINS)
    with tempfile.TemporaryDirectory(dir=out, prefix=".partial-") as place:
        found = Path(place)
        try:
            predict(brains, found)
        except ValueError as e:
            failed.append(str(e))
        about = json.loads((found / ABOUT).read_text(encoding="utf-8"))
        about["images"] = {case.name: [str(p.resolve()) for p in case.images] for case in heads}
        write_text(out / ABOUT, json.dumps(about, indent=1))
        masks = bring_back(heads, out / BRAINS, found, out, names=names, kind=kind)
    written = {stem(mask) for mask in masks}
    for case in heads:
        if case.name not in written:  # another run's mask would pass for this one's
            remove_others(out, case, None)
    if failed:
        raise ValueError("\n".join(failed))
    return masks
